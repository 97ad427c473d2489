output "vpc_id" {
  description = "Id of the VPC."
  value       = module.network.vpc_id
}

output "private_subnet_ids" {
  description = "Subnets of the workloads, by zone."
  value       = module.network.private_subnet_ids
}

output "intra_subnet_ids" {
  description = "Subnets of brokers and endpoints, by zone."
  value       = module.network.intra_subnet_ids
}

output "public_subnet_ids" {
  description = "Subnets of load balancers, by zone."
  value       = module.network.public_subnet_ids
}

output "bucket_names" {
  description = "Names of the buckets: data, artifacts, state."
  value       = module.storage.bucket_names
}

output "key_arns" {
  description = "Keys, by what they protect."
  value = merge(module.storage.key_arns, module.cluster.key_arns, module.streaming.key_arns, module.valkey.key_arns, module.observability.key_arns, {
    images = module.registry.key_arn
    logs   = module.network.log_key_arn
  })
}

output "repository_urls" {
  description = "Where images are pushed to and pulled from, by workload."
  value       = module.registry.repository_urls
}

output "workload_role_arns" {
  description = "Roles of the workloads, for the annotation of the service account of the same name."
  value       = module.identity.workload_role_arns
}

output "ci_role_arn" {
  description = "Role that the workflows assume."
  value       = module.identity.ci_role_arn
}

output "boundary_arn" {
  description = "Permissions boundary for every further role."
  value       = module.identity.boundary_arn
}

output "cluster_name" {
  description = "Name of the cluster."
  value       = module.cluster.name
}

output "bootstrap_servers" {
  description = "Addresses of the brokers, for the overlay's KAFKA_BOOTSTRAP_SERVERS and for terraform/topics."
  value       = module.streaming.bootstrap_servers
}

output "state_address" {
  description = "Address of the account state, for state.url in the Secret scoring-state."
  value       = module.valkey.address
}

output "alert_topic_arn" {
  description = "Where alarms go, for further ones."
  value       = module.observability.alert_topic_arn
}
