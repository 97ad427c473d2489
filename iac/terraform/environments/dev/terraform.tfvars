environment             = "dev"
account_id              = "111122223333"
owner                   = "fraud-platform"
vpc_cidr                = "10.40.0.0/16"
log_retention_days      = 365
noncurrent_version_days = 30
keep_images             = 50
github_repository       = "example/pix-fraud"
