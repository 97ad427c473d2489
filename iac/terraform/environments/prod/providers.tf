provider "aws" {
  region = var.region

  # Another environment's credentials stop here, not halfway through an apply.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = {
      Project     = var.project
      Environment = var.environment
      Owner       = var.owner
      ManagedBy   = "terraform"
    }
  }
}
