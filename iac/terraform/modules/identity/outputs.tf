output "workload_role_arns" {
  description = "Roles of the workloads, for the annotation of the service account of the same name."
  value       = { for name, role in module.workload : name => role.arn }
}

output "ci_role_arn" {
  description = "Role that the workflows assume."
  value       = aws_iam_role.ci.arn
}

output "boundary_arn" {
  description = "Permissions boundary for every further role."
  value       = aws_iam_policy.boundary.arn
}
