locals {
  github_issuer = "token.actions.githubusercontent.com"

  pull_actions = [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:GetDownloadUrlForLayer",
  ]
  push_actions = [
    "ecr:CompleteLayerUpload",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
  ]
}

resource "aws_iam_openid_connect_provider" "github" {
  url            = "https://${local.github_issuer}"
  client_id_list = ["sts.amazonaws.com"]
}

# Publishes and deploys. It cannot change infrastructure: applying Terraform is another, reviewed identity's work.
resource "aws_iam_role" "ci" {
  name                 = "${var.name}-ci"
  description          = "Workflows of ${var.github_repository}, environment ${var.environment}."
  assume_role_policy   = data.aws_iam_policy_document.ci_trust.json
  permissions_boundary = aws_iam_policy.boundary.arn
  max_session_duration = 3600
}

resource "aws_iam_role_policy" "ci" {
  name   = "publish"
  role   = aws_iam_role.ci.id
  policy = data.aws_iam_policy_document.ci.json
}

data "aws_iam_policy_document" "ci_trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github.arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.github_issuer}:aud"
      values   = ["sts.amazonaws.com"]
    }

    # The environment, not the branch: its reviewers and rules in GitHub then stand before the credentials.
    condition {
      test     = "StringEquals"
      variable = "${local.github_issuer}:sub"
      values   = ["repo:${var.github_repository}:environment:${var.environment}"]
    }
  }
}

data "aws_iam_policy_document" "ci" {
  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "PublishImages"
    actions   = concat(local.pull_actions, local.push_actions)
    resources = values(var.repository_arns)
  }

  statement {
    sid       = "PublishModels"
    actions   = ["s3:GetObject", "s3:PutObject"]
    resources = ["${var.buckets.artifacts}/*"]
  }

  statement {
    sid       = "FindModels"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.artifacts]
  }

  statement {
    sid       = "EncryptModels"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.keys.artifacts]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "FindCluster"
    actions   = ["eks:DescribeCluster"]
    resources = [local.cluster_arn]
  }
}
