environment             = "prod"
account_id              = "333344445555"
owner                   = "fraud-platform"
vpc_cidr                = "10.42.0.0/16"
log_retention_days      = 1827
noncurrent_version_days = 365
keep_images             = 200
github_repository       = "example/pix-fraud"
