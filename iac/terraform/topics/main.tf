locals {
  topics = jsondecode(file("${path.module}/../../topics.json"))
}

# Fewer partitions or another name would destroy the records: such a plan is refused.
resource "kafka_topic" "this" {
  for_each = local.topics

  name               = each.key
  partitions         = each.value.partitions
  replication_factor = each.value.replication_factor

  config = {
    "cleanup.policy"      = each.value.cleanup_policy
    "min.insync.replicas" = tostring(each.value.min_insync_replicas)
    "retention.ms"        = tostring(each.value.retention_hours * 3600000)
  }

  lifecycle {
    prevent_destroy = true

    precondition {
      condition     = each.value.min_insync_replicas < each.value.replication_factor
      error_message = "${each.key}: with every replica required, losing one broker would stop writing."
    }
  }
}
