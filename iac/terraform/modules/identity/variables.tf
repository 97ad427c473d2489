variable "name" {
  description = "Prefix of every name, <project>-<environment>; also the name of the cluster and the brokers."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "environment" {
  description = "Environment, also as GitHub names it."
  type        = string
}

variable "account_id" {
  description = "Account of the roles."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of what the roles use."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace of the workloads."
  type        = string
}

variable "oidc_provider" {
  description = "OIDC provider of the cluster: its ARN, and its issuer without https://."
  type        = object({ arn = string, issuer = string })
}

variable "github_repository" {
  description = "Repository whose workflows may publish, owner/name."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", var.github_repository))
    error_message = "github_repository must be owner/name: a wildcard would let foreign workflows in."
  }
}

variable "topics" {
  description = "Kafka topics of the stream worker."
  type        = object({ consumed = set(string), produced = set(string) })

  validation {
    condition     = length(var.topics.consumed) > 0 && length(var.topics.produced) > 0
    error_message = "The stream worker consumes from a topic and produces to a topic."
  }

  validation {
    condition     = alltrue([for topic in setunion(var.topics.consumed, var.topics.produced) : can(regex("^[a-z0-9._-]+$", topic))])
    error_message = "A topic is named exactly, without a wildcard."
  }
}

variable "buckets" {
  description = "ARNs of the buckets that roles read and write."
  type        = object({ artifacts = string, data = string })
}

variable "keys" {
  description = "ARNs of the keys of these buckets."
  type        = object({ artifacts = string, data = string })
}

variable "repository_arns" {
  description = "ARNs of the image repositories that CI pushes to, by workload."
  type        = map(string)
}
