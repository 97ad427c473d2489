locals {
  cluster_arn = "arn:aws:eks:${var.region}:${var.account_id}:cluster/${var.name}"

  # The broker cluster's generated id stands where the * is.
  kafka_arn = "arn:aws:kafka:${var.region}:${var.account_id}"
  kafka = {
    cluster   = "${local.kafka_arn}:cluster/${var.name}/*"
    consumed  = "${local.kafka_arn}:topic/${var.name}/*/${var.topics.consumed}"
    produced  = "${local.kafka_arn}:topic/${var.name}/*/${var.topics.produced}"
    consumers = "${local.kafka_arn}:group/${var.name}/*/stream-worker"
  }

  workload_policies = {
    scoring       = data.aws_iam_policy_document.scoring.json
    stream-worker = data.aws_iam_policy_document.stream_worker.json
  }
}
