locals {
  iam_port      = 9098
  log_group     = "/aws/msk/${var.name}/broker"
  log_group_arn = "arn:aws:logs:${var.region}:${var.account_id}:log-group:${local.log_group}"

  # A record counts as written once two zones have it, so losing one loses nothing and stops nobody.
  properties = {
    "auto.create.topics.enable"      = false
    "default.replication.factor"     = length(var.subnet_ids)
    "log.retention.hours"            = 168
    "min.insync.replicas"            = length(var.subnet_ids) - 1
    "unclean.leader.election.enable" = false
  }
}

resource "aws_msk_cluster" "this" {
  count = var.brokers ? 1 : 0

  cluster_name           = var.name
  kafka_version          = var.kafka_version
  number_of_broker_nodes = length(var.subnet_ids)
  enhanced_monitoring    = "PER_BROKER"

  broker_node_group_info {
    instance_type   = var.instance_type
    client_subnets  = values(var.subnet_ids)
    security_groups = [aws_security_group.brokers.id]

    storage_info {
      ebs_storage_info {
        volume_size = var.disk_gib
      }
    }

    connectivity_info {
      public_access {
        type = "DISABLED"
      }
    }
  }

  client_authentication {
    unauthenticated = false

    sasl {
      iam   = true
      scram = false
    }
  }

  configuration_info {
    arn      = aws_msk_configuration.this.arn
    revision = aws_msk_configuration.this.latest_revision
  }

  encryption_info {
    encryption_at_rest_kms_key_arn = module.disk_key.arn

    encryption_in_transit {
      client_broker = "TLS"
      in_cluster    = true
    }
  }

  logging_info {
    broker_logs {
      cloudwatch_logs {
        enabled   = true
        log_group = aws_cloudwatch_log_group.brokers.name
      }
    }
  }
}

resource "aws_msk_configuration" "this" {
  name              = var.name
  description       = "Brokers of ${var.name}."
  kafka_versions    = [var.kafka_version]
  server_properties = join("\n", [for key, value in local.properties : "${key}=${value}"])
}

module "disk_key" {
  source = "../key"

  name        = "${var.name}-brokers"
  description = "Records at rest on the brokers of ${var.name}."
  account_id  = var.account_id
}

module "log_key" {
  source = "../key"

  name        = "${var.name}-broker-logs"
  description = "Broker logs of ${var.name}."
  account_id  = var.account_id
  services = {
    "logs.${var.region}.amazonaws.com" = { "kms:EncryptionContext:aws:logs:arn" = [local.log_group_arn] }
  }
}

resource "aws_cloudwatch_log_group" "brokers" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = module.log_key.arn
}
