output "address" {
  description = "Where the state is written, host:port; after a failover the same name."
  value       = "${aws_elasticache_replication_group.this.primary_endpoint_address}:${local.port}"
}

output "security_group_id" {
  description = "Security group of the nodes."
  value       = aws_security_group.this.id
}

output "key_arns" {
  description = "Keys of the account state: state_store, state_store_logs."
  value       = { state_store = module.key.arn, state_store_logs = module.log_key.arn }
}
