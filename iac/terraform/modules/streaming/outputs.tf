output "bootstrap_servers" {
  description = "Addresses of the brokers for clients with IAM, host:port with commas; null without brokers."
  value       = one(aws_msk_cluster.this[*].bootstrap_brokers_sasl_iam)
}

output "security_group_id" {
  description = "Security group of the brokers."
  value       = aws_security_group.brokers.id
}

output "broker_ids" {
  description = "Ids of the brokers, as their metrics name them."
  value       = range(1, length(var.subnet_ids) + 1)
}

output "key_arns" {
  description = "Keys of the brokers: brokers, broker_logs."
  value       = { brokers = module.disk_key.arn, broker_logs = module.log_key.arn }
}
