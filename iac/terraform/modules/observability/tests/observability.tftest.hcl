mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:sa-east-1:111122223333:key/mocked" }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }

  mock_resource "aws_sns_topic" {
    defaults = { arn = "arn:aws:sns:sa-east-1:111122223333:pixgates-test-alerts" }
  }
}

variables {
  name               = "pixgates-test"
  account_id         = "111122223333"
  region             = "sa-east-1"
  cluster_name       = "pixgates-test"
  broker_ids         = [1, 2, 3]
  consumers          = { transactions = "stream-worker" }
  objectives         = { consumer_lag = 1000, p99_latency_ms = 50, error_percent = 0.1 }
  alert_email        = "on-call@example.com"
  monthly_budget_usd = 1000
  log_retention_days = 365
  oidc_provider = {
    arn    = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.sa-east-1.amazonaws.com/id/0123"
    issuer = "oidc.eks.sa-east-1.amazonaws.com/id/0123"
  }
}

run "silence_is_an_alarm_that_somebody_hears" {
  command = apply

  assert {
    condition = alltrue([
      for alarm in concat(
        [aws_cloudwatch_metric_alarm.latency, aws_cloudwatch_metric_alarm.errors],
        values(aws_cloudwatch_metric_alarm.consumer_lag),
        values(aws_cloudwatch_metric_alarm.under_replicated),
      ) : alarm.treat_missing_data == "breaching" && contains(alarm.alarm_actions, aws_sns_topic.alerts.arn)
    ])
    error_message = "Every alarm must ring when nothing is measured, and tell the topic."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.latency.extended_statistic == "p99" && aws_cloudwatch_metric_alarm.latency.threshold == 50
    error_message = "Latency is judged by its tail."
  }

  assert {
    condition     = aws_cloudwatch_metric_alarm.consumer_lag["transactions"].dimensions["Consumer Group"] == "stream-worker"
    error_message = "Lag must be watched for the group that consumes."
  }

  assert {
    condition     = keys(aws_cloudwatch_metric_alarm.under_replicated) == ["1", "2", "3"]
    error_message = "Every broker must be watched."
  }

  assert {
    condition     = alltrue([for each in aws_cloudwatch_log_metric_filter.this : one(each.metric_transformation).namespace == aws_cloudwatch_metric_alarm.latency.namespace])
    error_message = "Filters must write where the alarms read."
  }

  assert {
    condition     = aws_sns_topic.alerts.kms_master_key_id == module.alert_key.arn
    error_message = "Alerts must be encrypted with the module's key."
  }
}

run "logs_are_kept_and_written_by_one_role" {
  command = plan

  assert {
    condition     = length(aws_cloudwatch_log_group.this) == 4 && alltrue([for group in aws_cloudwatch_log_group.this : group.retention_in_days >= 365])
    error_message = "Every group of the add-on must exist before it and be kept for a year."
  }

  assert {
    condition = alltrue([
      for resource in data.aws_iam_policy_document.logs.statement[0].resources :
      startswith(resource, "arn:aws:logs:sa-east-1:111122223333:log-group:/aws/containerinsights/pixgates-test/")
    ])
    error_message = "The add-on may write to its own groups only."
  }

  assert {
    condition     = toset([for each in aws_budgets_budget.this.notification : each.notification_type]) == toset(["ACTUAL", "FORECASTED"])
    error_message = "The budget must warn of what is spent and of what will be."
  }
}

run "refuses_to_watch_nothing" {
  command = plan

  variables {
    broker_ids  = []
    consumers   = {}
    objectives  = { consumer_lag = 0, p99_latency_ms = 50, error_percent = 100 }
    alert_email = "nobody"
  }

  expect_failures = [var.broker_ids, var.consumers, var.objectives, var.alert_email]
}
