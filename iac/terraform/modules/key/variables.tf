variable "name" {
  description = "Alias of the key, without the alias/ prefix."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9][a-z0-9-]{2,62}$", var.name)) && !startswith(var.name, "aws")
    error_message = "name must be 3 to 63 lower-case letters, digits or hyphens, and not begin with aws."
  }
}

variable "description" {
  description = "What the key protects."
  type        = string
}

variable "account_id" {
  description = "Account that administers the key."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "services" {
  description = "AWS services that use the key by themselves: service principal to the conditions that bind it."
  type        = map(map(list(string)))
  default     = {}

  validation {
    condition     = alltrue([for conditions in values(var.services) : length(conditions) > 0])
    error_message = "A service must be bound by at least one condition, else any account could use the key through it."
  }
}

variable "grantees" {
  description = "ARNs of roles that encrypt AWS resources with the key, such as the one that starts nodes."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for arn in var.grantees : can(regex("^arn:aws:iam::[0-9]{12}:role/", arn)) && !strcontains(arn, "*")])
    error_message = "A grantee is one role, by its ARN."
  }
}
