environment             = "staging"
account_id              = "222233334444"
owner                   = "fraud-platform"
vpc_cidr                = "10.41.0.0/16"
log_retention_days      = 365
noncurrent_version_days = 30
keep_images             = 50
github_repository       = "example/pix-fraud"
kubernetes_version      = "1.33"
admin_role_arn          = "arn:aws:iam::222233334444:role/platform-admin"
alert_email             = "fraud-platform-staging@example.com"
monthly_budget_usd      = 3000
broker                  = { instance_type = "kafka.m7g.large", disk_gib = 250 }
valkey                  = { node_type = "cache.t4g.medium", nodes = 2, snapshot_days = 7 }
objectives              = { consumer_lag = 20000, p99_latency_ms = 100, error_percent = 0.5 }

node_groups = {
  general = { instance_types = ["m7i.xlarge"], min_nodes = 3, max_nodes = 9, disk_gib = 50 }
}
