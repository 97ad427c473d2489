variable "name" {
  description = "Prefix of every name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that owns the repositories."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "repositories" {
  description = "Repositories to create, named after the workloads that run from them."
  type        = set(string)

  validation {
    condition     = length(var.repositories) > 0 && alltrue([for name in var.repositories : can(regex("^[a-z][a-z0-9-]+$", name))])
    error_message = "At least one repository is needed, named with lower-case letters, digits or hyphens."
  }
}

variable "keep_images" {
  description = "Tagged images kept per repository."
  type        = number

  validation {
    condition     = var.keep_images >= 20
    error_message = "keep_images must be at least 20, else a running image or the one to roll back to could expire."
  }
}
