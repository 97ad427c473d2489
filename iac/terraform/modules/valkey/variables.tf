variable "name" {
  description = "Prefix of every name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that owns the store."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of the store."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the store."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the nodes by zone."
  type        = map(string)

  validation {
    condition     = length(var.subnet_ids) >= 2
    error_message = "Two zones are needed: a replica takes over when the other is lost."
  }
}

variable "client_security_group_id" {
  description = "Security group of the cluster's nodes, the only clients."
  type        = string

  validation {
    condition     = startswith(var.client_security_group_id, "sg-")
    error_message = "client_security_group_id must be a security group: the store is not opened to address ranges."
  }
}

variable "engine_version" {
  description = "Version of Valkey."
  type        = string
  default     = "8.0"
}

variable "node_type" {
  description = "Machine of a node; its memory holds all histories."
  type        = string

  validation {
    condition     = can(regex("^cache\\.(t4g|m7g|r7g)\\.[0-9a-z]+$", var.node_type))
    error_message = "node_type must be one of ElastiCache's t4g, m7g or r7g."
  }
}

variable "nodes" {
  description = "How many nodes: one is written to, the others take over."
  type        = number

  validation {
    condition     = var.nodes >= 2 && var.nodes <= 6
    error_message = "nodes must be between 2 and 6: without a replica a lost zone loses the state."
  }
}

variable "snapshot_days" {
  description = "Days that a daily snapshot is kept."
  type        = number

  validation {
    condition     = var.snapshot_days >= 1 && var.snapshot_days <= 35
    error_message = "snapshot_days must be between 1 and 35."
  }
}

variable "auth_token" {
  description = "Password of the clients."
  type        = string
  sensitive   = true

  validation {
    condition     = can(regex("^[A-Za-z0-9]{32,128}$", var.auth_token))
    error_message = "auth_token must be 32 to 128 letters and digits, so that it can stand in a URL."
  }
}

variable "log_retention_days" {
  description = "Days that logs are kept."
  type        = number

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be at least a year and a value that CloudWatch Logs accepts."
  }
}
