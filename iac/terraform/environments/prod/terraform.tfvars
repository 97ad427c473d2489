environment             = "prod"
account_id              = "333344445555"
owner                   = "fraud-platform"
vpc_cidr                = "10.42.0.0/16"
log_retention_days      = 1827
noncurrent_version_days = 365
keep_images             = 200
github_repository       = "example/pix-fraud"
kubernetes_version      = "1.33"
admin_role_arn          = "arn:aws:iam::333344445555:role/platform-admin"
alert_email             = "fraud-platform-prod@example.com"
monthly_budget_usd      = 15000
broker                  = { instance_type = "kafka.m7g.xlarge", disk_gib = 1000 }
valkey                  = { node_type = "cache.r7g.large", nodes = 3, snapshot_days = 35 }
objectives              = { consumer_lag = 10000, p99_latency_ms = 50, error_percent = 0.1 }

node_groups = {
  general = { instance_types = ["m7i.2xlarge"], min_nodes = 6, max_nodes = 30, disk_gib = 100 }
}
