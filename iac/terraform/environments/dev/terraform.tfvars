environment             = "dev"
account_id              = "111122223333"
owner                   = "fraud-platform"
vpc_cidr                = "10.40.0.0/16"
log_retention_days      = 365
noncurrent_version_days = 30
keep_images             = 50
github_repository       = "example/pix-fraud"
kubernetes_version      = "1.33"
admin_role_arn          = "arn:aws:iam::111122223333:role/platform-admin"
alert_email             = "fraud-platform-dev@example.com"
monthly_budget_usd      = 1500
broker                  = { instance_type = "kafka.t3.small", disk_gib = 100 }
valkey                  = { node_type = "cache.t4g.small", nodes = 2, snapshot_days = 7 }
objectives              = { consumer_lag = 100000, p99_latency_ms = 200, error_percent = 1 }

node_groups = {
  general = { instance_types = ["m7i.large"], min_nodes = 3, max_nodes = 6, disk_gib = 50 }
}
