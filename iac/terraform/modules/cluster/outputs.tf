output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "oidc_provider" {
  description = "OIDC provider for roles of service accounts: its ARN, and its issuer without https://."
  value       = local.oidc_provider
}

output "node_security_group_id" {
  description = "Security group of nodes and pods, for those who let them in."
  value       = aws_security_group.nodes.id
}

output "key_arns" {
  description = "Keys of the cluster: disks, secrets, control_plane."
  value       = { disks = module.disk_key.arn, secrets = module.secrets_key.arn, control_plane = module.log_key.arn }
}
