locals {
  cluster_arn = "arn:aws:eks:${var.region}:${var.account_id}:cluster/${var.name}"

  # The broker cluster's generated id stands where the * is.
  kafka_arn          = "arn:aws:kafka:${var.region}:${var.account_id}"
  kafka_cluster      = "${local.kafka_arn}:cluster/${var.name}/*"
  kafka_group        = "${local.kafka_arn}:group/${var.name}/*/stream-worker"
  kafka_transactions = "${local.kafka_arn}:transactional-id/${var.name}/*/stream-worker-*"
  consumed           = [for topic in var.topics.consumed : "${local.kafka_arn}:topic/${var.name}/*/${topic}"]
  produced           = [for topic in var.topics.produced : "${local.kafka_arn}:topic/${var.name}/*/${topic}"]

  workload_policies = {
    scoring       = data.aws_iam_policy_document.scoring.json
    stream-worker = data.aws_iam_policy_document.stream_worker.json
  }
}
