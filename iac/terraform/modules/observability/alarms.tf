# Silence counts as an alarm everywhere: a service that sends nothing is not known to be well.
locals {
  actions = [aws_sns_topic.alerts.arn]

  # scoring writes one line of JSON per request, with latency_ms and status.
  scoring = "$.kubernetes.container_name = \"scoring\""
  metrics = {
    ScoringErrors   = { pattern = "{ ${local.scoring} && $.log_processed.status >= 500 }", value = "1" }
    ScoringLatency  = { pattern = "{ ${local.scoring} && $.log_processed.latency_ms >= 0 }", value = "$.log_processed.latency_ms" }
    ScoringRequests = { pattern = "{ ${local.scoring} && $.log_processed.status >= 100 }", value = "1" }
  }
}

resource "aws_cloudwatch_log_metric_filter" "this" {
  for_each = local.metrics

  name           = each.key
  log_group_name = aws_cloudwatch_log_group.this["application"].name
  pattern        = each.value.pattern

  metric_transformation {
    namespace = var.name
    name      = each.key
    value     = each.value.value
  }
}

resource "aws_cloudwatch_metric_alarm" "latency" {
  alarm_name          = "${var.name}-scoring-latency"
  alarm_description   = "One request in a hundred takes longer than ${var.objectives.p99_latency_ms} ms."
  namespace           = var.name
  metric_name         = "ScoringLatency"
  extended_statistic  = "p99"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.objectives.p99_latency_ms
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-scoring-errors"
  alarm_description   = "More than ${var.objectives.error_percent} % of requests end in a server error."
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.objectives.error_percent
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions

  metric_query {
    id          = "percent"
    expression  = "100 * FILL(errors, 0) / requests"
    label       = "Errors, % of requests"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "ScoringErrors", requests = "ScoringRequests" }

    content {
      id = metric_query.key

      metric {
        namespace   = var.name
        metric_name = metric_query.value
        period      = 60
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "consumer_lag" {
  for_each = var.consumers

  alarm_name          = "${var.name}-consumer-lag-${each.key}"
  alarm_description   = "${each.value} is more than ${var.objectives.consumer_lag} records behind on ${each.key}."
  namespace           = "AWS/Kafka"
  metric_name         = "SumOffsetLag"
  dimensions          = { "Cluster Name" = var.name, "Consumer Group" = each.value, "Topic" = each.key }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.objectives.consumer_lag
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}

resource "aws_cloudwatch_metric_alarm" "under_replicated" {
  for_each = toset([for id in var.broker_ids : tostring(id)])

  alarm_name          = "${var.name}-under-replicated-${each.key}"
  alarm_description   = "Broker ${each.key} leads partitions that lack a copy: losing another broker stops writing."
  namespace           = "AWS/Kafka"
  metric_name         = "UnderReplicatedPartitions"
  dimensions          = { "Cluster Name" = var.name, "Broker ID" = each.key }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 5
  treat_missing_data  = "breaching"
  alarm_actions       = local.actions
  ok_actions          = local.actions
}
