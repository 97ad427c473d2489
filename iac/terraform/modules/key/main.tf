locals {
  # In a key policy "*" means this key: an ARN would be circular. The account statement hands control to IAM,
  # without it nobody could ever change the key again.
  account_statement = {
    Sid       = "AccountAdministers"
    Effect    = "Allow"
    Principal = { AWS = "arn:aws:iam::${var.account_id}:root" }
    Action    = "kms:*"
    Resource  = "*"
  }

  service_statements = [for service, conditions in var.services : {
    Sid       = "ServiceUses${index(keys(var.services), service)}"
    Effect    = "Allow"
    Principal = { Service = service }
    Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    Resource  = "*"
    Condition = { StringEquals = conditions }
  }]

  # Whoever starts a machine with an encrypted volume hands the key on to EC2 by a grant.
  grantee_statements = [for statement in [
    {
      Sid       = "GranteesUse"
      Effect    = "Allow"
      Principal = { AWS = var.grantees }
      Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      Resource  = "*"
    },
    {
      Sid       = "GranteesGrantToAws"
      Effect    = "Allow"
      Principal = { AWS = var.grantees }
      Action    = "kms:CreateGrant"
      Resource  = "*"
      Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    },
  ] : statement if length(var.grantees) > 0]
}

resource "aws_kms_key" "this" {
  description             = var.description
  enable_key_rotation     = true
  deletion_window_in_days = 30

  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = concat([local.account_statement], local.service_statements, local.grantee_statements)
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
