mock_provider "aws" {}

variables {
  name        = "pixgates-test-logs"
  description = "Log groups."
  account_id  = "111122223333"
  services    = { "logs.sa-east-1.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:sa-east-1:111122223333:log-group:/x" } }
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

run "refuses_an_unbound_service" {
  command = plan

  variables {
    services = { "logs.sa-east-1.amazonaws.com" = {} }
  }

  expect_failures = [var.services]
}
