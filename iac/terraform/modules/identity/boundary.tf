# The most that any role of the pipeline can ever do, whatever is attached to it later: no IAM, no other project.
resource "aws_iam_policy" "boundary" {
  name        = "${var.name}-boundary"
  description = "Upper bound of every role of ${var.name}."
  policy      = data.aws_iam_policy_document.boundary.json
}

data "aws_iam_policy_document" "boundary" {
  statement {
    sid       = "Objects"
    actions   = ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
    resources = flatten([for arn in [var.buckets.artifacts, var.buckets.data] : [arn, "${arn}/*"]])
  }

  statement {
    sid       = "KeysThroughS3"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [var.keys.artifacts, var.keys.data]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${var.region}.amazonaws.com"]
    }
  }

  statement {
    sid = "Topics"
    actions = [
      "kafka-cluster:AlterGroup",
      "kafka-cluster:AlterTransactionalId",
      "kafka-cluster:Connect",
      "kafka-cluster:DescribeGroup",
      "kafka-cluster:DescribeTopic",
      "kafka-cluster:DescribeTransactionalId",
      "kafka-cluster:ReadData",
      "kafka-cluster:WriteData",
      "kafka-cluster:WriteDataIdempotently",
    ]
    resources = concat(
      [local.kafka_cluster, local.kafka_group, local.kafka_transactions], local.consumed, local.produced,
    )
  }

  statement {
    sid       = "Images"
    actions   = concat(local.pull_actions, local.push_actions)
    resources = values(var.repository_arns)
  }

  statement {
    sid       = "RegistryLogin"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    sid       = "FindCluster"
    actions   = ["eks:DescribeCluster"]
    resources = [local.cluster_arn]
  }
}
