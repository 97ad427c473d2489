output "repository_urls" {
  description = "Where images are pushed to and pulled from, by workload."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "repository_arns" {
  description = "ARNs of the repositories, by workload."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.arn }
}

output "key_arn" {
  description = "Key of the images."
  value       = module.key.arn
}
