locals {
  # Account and region make the names unique in the global namespace of S3.
  bucket_names = { for kind in ["data", "artifacts", "state"] : kind => "${var.name}-${kind}-${var.account_id}-${var.region}" }
  log_bucket   = "${var.name}-logs-${var.account_id}-${var.region}"
}

# One key per bucket: whoever may read a model cannot thereby read transactions or the state.
module "key" {
  source   = "../key"
  for_each = local.bucket_names

  name        = "${var.name}-${each.key}"
  description = "Objects of ${each.value}."
  account_id  = var.account_id
}
