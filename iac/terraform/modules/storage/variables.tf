variable "name" {
  description = "Prefix of every name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter: a bucket name ends at 63 characters."
  }
}

variable "account_id" {
  description = "Account that owns the buckets."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of the buckets."
  type        = string
}

variable "noncurrent_version_days" {
  description = "Days that an overwritten or deleted object can still be brought back."
  type        = number

  validation {
    condition     = var.noncurrent_version_days >= 30
    error_message = "noncurrent_version_days must be at least 30: mistakes are often found at the end of the month."
  }
}

variable "log_retention_days" {
  description = "Days that access logs are kept."
  type        = number

  validation {
    condition     = var.log_retention_days >= 365
    error_message = "log_retention_days must be at least 365."
  }
}
