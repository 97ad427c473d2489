terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Where the state lies is a value of the environment: backend.hcl.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
