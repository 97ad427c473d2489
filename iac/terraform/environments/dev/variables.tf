variable "project" {
  description = "First part of every name."
  type        = string
  default     = "pixgates"
}

variable "environment" {
  description = "Second part of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{3,10}$", var.environment))
    error_message = "environment must be 3 to 10 lower-case letters."
  }
}

variable "account_id" {
  description = "The environment's own account; the provider refuses every other."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "sa-east-1"

  validation {
    condition     = var.region == "sa-east-1"
    error_message = "Transactions of Brazilian customers stay in Brazil: sa-east-1."
  }
}

variable "owner" {
  description = "Team that answers for the environment."
  type        = string
}

variable "vpc_cidr" {
  description = "Private IPv4 range of the VPC, a /16, not shared with another environment."
  type        = string
}

variable "availability_zones" {
  description = "The three zones to spread over."
  type        = list(string)
  default     = ["sa-east-1a", "sa-east-1b", "sa-east-1c"]
}

variable "log_retention_days" {
  description = "Days that flow and access logs are kept."
  type        = number
}

variable "noncurrent_version_days" {
  description = "Days that an overwritten or deleted object can still be brought back."
  type        = number
}

variable "keep_images" {
  description = "Tagged images kept per repository."
  type        = number
}

variable "github_repository" {
  description = "Repository whose workflows may publish, owner/name."
  type        = string
}

variable "topics" {
  description = "Kafka topics of the stream worker."
  type        = object({ consumed = string, produced = string })
  default     = { consumed = "pix.transactions", produced = "pix.decisions" }
}
