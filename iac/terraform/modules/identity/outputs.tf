output "workload_role_arns" {
  description = "Roles for the Pod Identity associations of the cluster, by service account."
  value       = { for name, role in aws_iam_role.workload : name => role.arn }
}

output "ci_role_arn" {
  description = "Role that the workflows assume."
  value       = aws_iam_role.ci.arn
}

output "boundary_arn" {
  description = "Permissions boundary for every further role."
  value       = aws_iam_policy.boundary.arn
}
