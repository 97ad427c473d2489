mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name                    = "pixgates-test"
  account_id              = "111122223333"
  region                  = "sa-east-1"
  noncurrent_version_days = 90
  log_retention_days      = 365
}

run "keeps_every_bucket_private_and_recoverable" {
  command = plan

  assert {
    condition     = keys(aws_s3_bucket.this) == ["artifacts", "data", "state"]
    error_message = "Data, artifacts and state each need a bucket."
  }

  assert {
    condition = alltrue([
      for versioning in concat(values(aws_s3_bucket_versioning.this), [aws_s3_bucket_versioning.logs]) :
      versioning.versioning_configuration[0].status == "Enabled"
    ])
    error_message = "Every bucket must be versioned."
  }

  assert {
    condition = alltrue([
      for block in concat(values(aws_s3_bucket_public_access_block.this), [aws_s3_bucket_public_access_block.logs]) :
      block.block_public_acls && block.block_public_policy && block.ignore_public_acls && block.restrict_public_buckets
    ])
    error_message = "Every bucket must block public access in all four ways."
  }

  assert {
    condition = alltrue([
      for sse in values(aws_s3_bucket_server_side_encryption_configuration.this) :
      one(one(sse.rule).apply_server_side_encryption_by_default).sse_algorithm == "aws:kms"
    ])
    error_message = "Every bucket but the log target must be encrypted with its key."
  }

  assert {
    condition = alltrue([
      for policy in values(data.aws_iam_policy_document.tls_only) : policy.statement[0].effect == "Deny"
    ])
    error_message = "Every bucket must refuse plaintext."
  }
}

run "refuses_short_memory" {
  command = plan

  variables {
    noncurrent_version_days = 7
  }

  expect_failures = [var.noncurrent_version_days]
}
