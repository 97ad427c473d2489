variable "name" {
  description = "Name of the cluster and prefix of every other name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that owns the cluster."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of the cluster."
  type        = string
}

variable "kubernetes_version" {
  description = "Kubernetes version of control plane and nodes, such as 1.33."
  type        = string

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version must be 1.33 or newer, written without a patch level."
  }
}

variable "vpc_id" {
  description = "VPC of the cluster."
  type        = string
}

variable "private_subnet_ids" {
  description = "Subnets of nodes and pods, by zone."
  type        = map(string)

  validation {
    condition     = length(var.private_subnet_ids) == 3
    error_message = "The nodes must spread over three zones."
  }
}

variable "intra_subnet_ids" {
  description = "Subnets of the endpoints, by zone."
  type        = map(string)
}

variable "endpoint_security_group_id" {
  description = "Security group of the VPC's interface endpoints."
  type        = string
}

variable "node_groups" {
  description = "Groups of nodes by name: their machines, how many, and the disk of each in GiB."
  type = map(object({
    instance_types = list(string)
    min_nodes      = number
    max_nodes      = number
    disk_gib       = number
  }))

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.min_nodes >= 3 && group.min_nodes <= group.max_nodes])
    error_message = "A group needs at least three nodes, one per zone, and no more at least than at most."
  }

  validation {
    condition     = alltrue([for group in values(var.node_groups) : group.disk_gib >= 20])
    error_message = "disk_gib must be at least 20: images and what pods write share it."
  }
}

variable "namespace" {
  description = "Kubernetes namespace that CI deploys to."
  type        = string
}

variable "ci_role_arn" {
  description = "Role that deploys, into the namespace only."
  type        = string
}

variable "admin_role_arn" {
  description = "Role that administers the cluster."
  type        = string

  validation {
    condition     = can(regex("^arn:aws:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$", var.admin_role_arn))
    error_message = "admin_role_arn must be the ARN of one role: people come through it, not as users."
  }
}

variable "log_retention_days" {
  description = "Days that the logs of the control plane are kept."
  type        = number

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be at least a year and a value that CloudWatch Logs accepts."
  }
}
