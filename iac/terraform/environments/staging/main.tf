locals {
  name      = "${var.project}-${var.environment}"
  workloads = ["scoring", "stream-worker"]
}

module "network" {
  source = "../../modules/network"

  name               = local.name
  account_id         = var.account_id
  region             = var.region
  vpc_cidr           = var.vpc_cidr
  availability_zones = var.availability_zones
  log_retention_days = var.log_retention_days
}

module "storage" {
  source = "../../modules/storage"

  name                    = local.name
  account_id              = var.account_id
  region                  = var.region
  noncurrent_version_days = var.noncurrent_version_days
  log_retention_days      = var.log_retention_days
}

module "registry" {
  source = "../../modules/registry"

  name         = local.name
  account_id   = var.account_id
  repositories = local.workloads
  keep_images  = var.keep_images
}

module "identity" {
  source = "../../modules/identity"

  name              = local.name
  environment       = var.environment
  account_id        = var.account_id
  region            = var.region
  namespace         = local.name
  github_repository = var.github_repository
  topics            = var.topics
  repository_arns   = module.registry.repository_arns

  buckets = {
    artifacts = module.storage.bucket_arns["artifacts"]
    data      = module.storage.bucket_arns["data"]
  }

  keys = {
    artifacts = module.storage.key_arns["artifacts"]
    data      = module.storage.key_arns["data"]
  }
}
