output "alert_topic_arn" {
  description = "Where alarms go, for further ones."
  value       = aws_sns_topic.alerts.arn
}

output "log_group_names" {
  description = "Log groups: application, dataplane, host, performance."
  value       = { for kind, group in aws_cloudwatch_log_group.this : kind => group.name }
}

output "key_arns" {
  description = "Keys: alerts, cluster_logs."
  value       = { alerts = module.alert_key.arn, cluster_logs = module.log_key.arn }
}
