mock_provider "aws" {}

variables {
  name        = "pixgates-test-logs"
  description = "Log groups."
  account_id  = "111122223333"
  services    = { "logs.sa-east-1.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = ["arn:aws:logs:sa-east-1:111122223333:log-group:/x"] } }
}

run "rotates_and_binds_services" {
  command = plan

  assert {
    condition     = aws_kms_key.this.enable_key_rotation
    error_message = "The key must rotate."
  }

  assert {
    condition     = jsondecode(aws_kms_key.this.policy).Statement[0].Principal.AWS == "arn:aws:iam::111122223333:root"
    error_message = "Only the owning account administers the key."
  }

  assert {
    condition = alltrue([
      for s in slice(jsondecode(aws_kms_key.this.policy).Statement, 1, 2) : length(s.Condition.StringEquals) == 1
    ])
    error_message = "A service statement must carry its condition."
  }
}

run "grants_only_to_aws" {
  command = plan

  variables {
    grantees = ["arn:aws:iam::111122223333:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"]
  }

  assert {
    condition = one([
      for s in jsondecode(aws_kms_key.this.policy).Statement : s if s.Action == "kms:CreateGrant"
    ]).Condition.Bool["kms:GrantIsForAWSResource"] == "true"
    error_message = "A grantee may hand the key on to AWS only."
  }
}

run "refuses_grantees_by_wildcard" {
  command = plan

  variables {
    grantees = ["arn:aws:iam::111122223333:role/*"]
  }

  expect_failures = [var.grantees]
}

run "refuses_an_unbound_service" {
  command = plan

  variables {
    services = { "logs.sa-east-1.amazonaws.com" = {} }
  }

  expect_failures = [var.services]
}
