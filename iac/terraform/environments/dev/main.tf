locals {
  name      = "${var.project}-${var.environment}"
  workloads = ["scoring", "stream-worker"]

  # Declared once, for everybody who reads them: see iac/README.md.
  topics = jsondecode(file("${path.module}/../../../topics.json"))
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

module "cluster" {
  source = "../../modules/cluster"

  name                       = local.name
  account_id                 = var.account_id
  region                     = var.region
  kubernetes_version         = var.kubernetes_version
  vpc_id                     = module.network.vpc_id
  private_subnet_ids         = module.network.private_subnet_ids
  intra_subnet_ids           = module.network.intra_subnet_ids
  endpoint_security_group_id = module.network.endpoint_security_group_id
  node_groups                = var.emulated ? {} : var.node_groups
  namespace                  = local.name
  ci_role_arn                = module.identity.ci_role_arn
  admin_role_arn             = var.admin_role_arn
  log_retention_days         = var.log_retention_days
}

module "streaming" {
  source = "../../modules/streaming"

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.intra_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  instance_type            = var.broker.instance_type
  disk_gib                 = var.broker.disk_gib
  log_retention_days       = var.log_retention_days
  brokers                  = !var.emulated
}

module "valkey" {
  source = "../../modules/valkey"

  name                     = local.name
  account_id               = var.account_id
  region                   = var.region
  vpc_id                   = module.network.vpc_id
  subnet_ids               = module.network.intra_subnet_ids
  client_security_group_id = module.cluster.node_security_group_id
  node_type                = var.valkey.node_type
  nodes                    = var.valkey.nodes
  snapshot_days            = var.valkey.snapshot_days
  auth_token               = var.valkey_token
  log_retention_days       = var.log_retention_days
}

module "observability" {
  source = "../../modules/observability"

  name               = local.name
  account_id         = var.account_id
  region             = var.region
  cluster_name       = module.cluster.name
  oidc_provider      = module.cluster.oidc_provider
  broker_ids         = module.streaming.broker_ids
  consumers          = { for topic, its in local.topics : topic => "stream-worker" if contains(its.consumers, "stream-worker") }
  objectives         = var.objectives
  alert_email        = var.alert_email
  monthly_budget_usd = var.monthly_budget_usd
  log_retention_days = var.log_retention_days
}

module "identity" {
  source = "../../modules/identity"

  name              = local.name
  environment       = var.environment
  account_id        = var.account_id
  region            = var.region
  namespace         = local.name
  github_repository = var.github_repository
  oidc_provider     = module.cluster.oidc_provider
  repository_arns   = module.registry.repository_arns

  topics = {
    consumed = [for topic, its in local.topics : topic if contains(its.consumers, "stream-worker")]
    produced = [for topic, its in local.topics : topic if contains(its.producers, "stream-worker")]
  }

  buckets = {
    artifacts = module.storage.bucket_arns["artifacts"]
    data      = module.storage.bucket_arns["data"]
  }

  keys = {
    artifacts = module.storage.key_arns["artifacts"]
    data      = module.storage.key_arns["data"]
  }
}
