variable "name" {
  description = "Name of the role."
  type        = string
}

variable "oidc_provider" {
  description = "The cluster's OIDC provider: its ARN, and its issuer without https://."
  type        = object({ arn = string, issuer = string })

  validation {
    condition     = !startswith(var.oidc_provider.issuer, "https://")
    error_message = "The issuer stands without https://: with it the conditions would name keys that no token has."
  }
}

variable "namespace" {
  description = "Kubernetes namespace of the service account."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", var.namespace))
    error_message = "A namespace is named exactly, without a wildcard."
  }
}

variable "service_account" {
  description = "The service account whose pods get the role."
  type        = string

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", var.service_account))
    error_message = "A service account is named exactly, without a wildcard."
  }
}

variable "boundary_arn" {
  description = "Permissions boundary of the role; null for parts of the cluster itself."
  type        = string
  default     = null
}
