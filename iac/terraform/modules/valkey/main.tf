locals {
  port          = 6379
  log_group     = "/aws/elasticache/${var.name}"
  log_group_arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}"
}

# One shard: all keys of a payment must be in one place (docs/serving.md). Its replicas stand in other zones.
resource "aws_elasticache_replication_group" "this" {
  replication_group_id = "${var.name}-state"
  description          = "Account state of ${var.name}."
  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  port                 = local.port

  num_cache_clusters         = var.nodes
  automatic_failover_enabled = true
  multi_az_enabled           = true

  subnet_group_name  = aws_elasticache_subnet_group.this.name
  security_group_ids = [aws_security_group.this.id]

  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  at_rest_encryption_enabled = true
  kms_key_id                 = module.key.arn
  auth_token                 = var.auth_token
  auth_token_update_strategy = "ROTATE"

  snapshot_retention_limit   = var.snapshot_days
  snapshot_window            = "05:00-06:00"
  maintenance_window         = "sun:06:30-sun:07:30"
  auto_minor_version_upgrade = true

  log_delivery_configuration {
    destination      = aws_cloudwatch_log_group.slow.name
    destination_type = "cloudwatch-logs"
    log_format       = "json"
    log_type         = "slow-log"
  }
}

resource "aws_elasticache_subnet_group" "this" {
  name        = "${var.name}-state"
  description = "Account state of ${var.name}: no way in or out but from the VPC."
  subnet_ids  = values(var.subnet_ids)
}

module "key" {
  source = "../key"

  name        = "${var.name}-state-store"
  description = "Account state at rest of ${var.name}."
  account_id  = var.account_id
}

module "log_key" {
  source = "../key"

  name        = "${var.name}-state-store-logs"
  description = "Slow commands of the account state of ${var.name}."
  account_id  = var.account_id
  services = {
    "logs.${var.region}.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = [local.log_group_arn] }
  }
}

resource "aws_cloudwatch_log_group" "slow" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = module.log_key.arn
}
