environment             = "staging"
account_id              = "222233334444"
owner                   = "fraud-platform"
vpc_cidr                = "10.41.0.0/16"
log_retention_days      = 365
noncurrent_version_days = 30
keep_images             = 50
github_repository       = "example/pix-fraud"
