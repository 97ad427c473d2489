locals {
  log_group     = "/aws/eks/${var.name}/cluster"
  log_group_arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}"
}

resource "aws_eks_cluster" "this" {
  name                          = var.name
  version                       = var.kubernetes_version
  role_arn                      = aws_iam_role.cluster.arn
  enabled_cluster_log_types     = ["api", "audit", "authenticator", "controllerManager", "scheduler"]
  bootstrap_self_managed_addons = false

  # Who may enter is said in access.tf alone: not in a ConfigMap, and not by having created the cluster.
  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = false
  }

  encryption_config {
    resources = ["secrets"]

    provider {
      key_arn = module.secrets_key.arn
    }
  }

  vpc_config {
    subnet_ids              = values(var.private_subnet_ids)
    security_group_ids      = [aws_security_group.control_plane.id]
    endpoint_private_access = true
    endpoint_public_access  = false
  }

  # Without the group EKS would create one, unencrypted and kept for ever.
  depends_on = [aws_cloudwatch_log_group.control_plane, aws_iam_role_policy_attachment.cluster]
}

module "secrets_key" {
  source = "../key"

  name        = "${var.name}-secrets"
  description = "Kubernetes secrets of ${var.name}."
  account_id  = var.account_id
}

module "log_key" {
  source = "../key"

  name        = "${var.name}-control-plane"
  description = "Control plane logs of ${var.name}."
  account_id  = var.account_id
  services = {
    "logs.${var.region}.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = [local.log_group_arn] }
  }
}

resource "aws_cloudwatch_log_group" "control_plane" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = module.log_key.arn
}

resource "aws_iam_role" "cluster" {
  name               = "${var.name}-control-plane"
  description        = "Control plane of ${var.name}."
  assume_role_policy = data.aws_iam_policy_document.trust["eks"].json
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_iam_role_policy" "cluster" {
  name   = "encrypt-secrets"
  role   = aws_iam_role.cluster.id
  policy = data.aws_iam_policy_document.encrypt_secrets.json
}

data "aws_iam_policy_document" "encrypt_secrets" {
  statement {
    actions   = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:ListGrants"]
    resources = [module.secrets_key.arn]
  }
}

data "aws_iam_policy_document" "trust" {
  for_each = toset(["ec2", "eks"])

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["${each.key}.amazonaws.com"]
    }
  }
}
