module "workload" {
  source   = "../irsa"
  for_each = local.workload_policies

  name            = "${var.name}-${each.key}"
  oidc_provider   = var.oidc_provider
  namespace       = var.namespace
  service_account = each.key
  boundary_arn    = aws_iam_policy.boundary.arn
}

resource "aws_iam_role_policy" "workload" {
  for_each = local.workload_policies

  name   = "work"
  role   = module.workload[each.key].name
  policy = each.value
}

data "aws_iam_policy_document" "scoring" {
  source_policy_documents = [data.aws_iam_policy_document.read_models.json]
}

data "aws_iam_policy_document" "stream_worker" {
  source_policy_documents = [data.aws_iam_policy_document.read_models.json]

  statement {
    sid       = "Connect"
    actions   = ["kafka-cluster:Connect", "kafka-cluster:WriteDataIdempotently"]
    resources = [local.kafka_cluster]
  }

  statement {
    sid       = "Consume"
    actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:ReadData"]
    resources = local.consumed
  }

  statement {
    sid       = "CommitOffsets"
    actions   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
    resources = [local.kafka_group]
  }

  # What it writes counts once, or not at all: one transaction of each instance, named for its group.
  statement {
    sid       = "Transact"
    actions   = ["kafka-cluster:AlterTransactionalId", "kafka-cluster:DescribeTransactionalId"]
    resources = [local.kafka_transactions]
  }

  statement {
    sid       = "Produce"
    actions   = ["kafka-cluster:DescribeTopic", "kafka-cluster:WriteData"]
    resources = local.produced
  }

  statement {
    sid       = "ReadAccounts"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets.data}/accounts/*"]
  }

  statement {
    sid       = "FindAccounts"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.data]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["accounts/*"]
    }
  }

  statement {
    sid       = "KeepDecisions"
    actions   = ["s3:PutObject"]
    resources = ["${var.buckets.data}/decisions/*"]
  }

  # Decrypt too, for the accounts; and S3 needs it to put an object together from parts.
  statement {
    sid       = "EncryptDecisions"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.keys.data]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "read_models" {
  statement {
    sid       = "ReadModels"
    actions   = ["s3:GetObject"]
    resources = ["${var.buckets.artifacts}/models/*"]
  }

  statement {
    sid       = "FindModels"
    actions   = ["s3:ListBucket"]
    resources = [var.buckets.artifacts]

    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["models/*"]
    }
  }

  statement {
    sid       = "DecryptModels"
    actions   = ["kms:Decrypt"]
    resources = [var.keys.artifacts]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }
}
