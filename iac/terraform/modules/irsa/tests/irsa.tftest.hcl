mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name            = "pixgates-test-scoring"
  namespace       = "pixgates-test"
  service_account = "scoring"
  boundary_arn    = "arn:aws:iam::111122223333:policy/pixgates-test-boundary"
  oidc_provider = {
    arn    = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.sa-east-1.amazonaws.com/id/0123"
    issuer = "oidc.eks.sa-east-1.amazonaws.com/id/0123"
  }
}

run "trusts_one_service_account" {
  command = plan

  assert {
    condition = { for c in data.aws_iam_policy_document.trust.statement[0].condition : c.variable => c.values } == {
      "oidc.eks.sa-east-1.amazonaws.com/id/0123:aud" = tolist(["sts.amazonaws.com"])
      "oidc.eks.sa-east-1.amazonaws.com/id/0123:sub" = tolist(["system:serviceaccount:pixgates-test:scoring"])
    }
    error_message = "The role must be bound to one audience and one service account."
  }

  assert {
    condition     = alltrue([for c in data.aws_iam_policy_document.trust.statement[0].condition : c.test == "StringEquals"])
    error_message = "The conditions must compare exactly."
  }

  assert {
    condition     = aws_iam_role.this.permissions_boundary == "arn:aws:iam::111122223333:policy/pixgates-test-boundary"
    error_message = "The boundary must bind the role."
  }
}

run "refuses_wildcards_and_a_scheme" {
  command = plan

  variables {
    namespace       = "*"
    service_account = "*"
    oidc_provider = {
      arn    = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.sa-east-1.amazonaws.com/id/0123"
      issuer = "https://oidc.eks.sa-east-1.amazonaws.com/id/0123"
    }
  }

  expect_failures = [var.namespace, var.service_account, var.oidc_provider]
}
