locals {
  # Named as the add-on writes them.
  log_groups     = { for kind in ["application", "dataplane", "host", "performance"] : kind => "/aws/containerinsights/${var.name}/${kind}" }
  log_group_arns = [for group in values(local.log_groups) : "arn:aws:logs:${var.region}:${var.account_id}:log-group:${group}"]
}

module "log_key" {
  source = "../key"

  name        = "${var.name}-cluster-logs"
  description = "Logs of what runs in ${var.name}."
  account_id  = var.account_id
  services = {
    "logs.${var.region}.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = local.log_group_arns }
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_groups

  name              = each.value
  retention_in_days = var.log_retention_days
  kms_key_id        = module.log_key.arn
}

# It may write to these groups, not create others, which would be unencrypted and kept for ever.
resource "aws_eks_addon" "logs" {
  cluster_name                = var.cluster_name
  addon_name                  = "amazon-cloudwatch-observability"
  service_account_role_arn    = module.log_role.arn
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.logs]
}

module "log_role" {
  source = "../irsa"

  name            = "${var.name}-logs"
  oidc_provider   = var.oidc_provider
  namespace       = "amazon-cloudwatch"
  service_account = "cloudwatch-agent"
}

resource "aws_iam_role_policy" "logs" {
  name   = "write"
  role   = module.log_role.name
  policy = data.aws_iam_policy_document.logs.json
}

data "aws_iam_policy_document" "logs" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    resources = [for arn in local.log_group_arns : "${arn}:*"]
  }
}
