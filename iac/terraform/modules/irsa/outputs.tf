output "arn" {
  description = "ARN of the role, for the service account's annotation."
  value       = aws_iam_role.this.arn
}

output "name" {
  description = "Name of the role, to attach policies to."
  value       = aws_iam_role.this.name
}
