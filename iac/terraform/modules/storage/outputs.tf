output "bucket_names" {
  description = "Names of the buckets: data, artifacts, state."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.id }
}

output "bucket_arns" {
  description = "ARNs of the buckets: data, artifacts, state."
  value       = { for kind, bucket in aws_s3_bucket.this : kind => bucket.arn }
}

output "key_arns" {
  description = "Keys of the buckets: data, artifacts, state."
  value       = { for kind, key in module.key : kind => key.arn }
}

output "log_bucket_name" {
  description = "Bucket of the access logs."
  value       = aws_s3_bucket.logs.id
}
