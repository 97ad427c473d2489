terraform {
  required_version = ">= 1.11, < 2.0"

  required_providers {
    kafka = {
      source  = "mongey/kafka"
      version = "~> 0.8.1"
    }
  }

  # Beside the environment's own state: its backend.hcl, and a key for the topics.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
