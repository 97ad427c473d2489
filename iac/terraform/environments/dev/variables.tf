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

variable "kubernetes_version" {
  description = "Kubernetes version of control plane and nodes."
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
    condition     = length(var.node_groups) > 0
    error_message = "At least one group of nodes is needed, else nothing can run."
  }
}

variable "admin_role_arn" {
  description = "Role that administers the cluster."
  type        = string
}

variable "broker" {
  description = "Machine of a broker, and its disk in GiB."
  type        = object({ instance_type = string, disk_gib = number })
}

variable "valkey" {
  description = "Account state: machine of a node, how many, and days that its snapshots are kept."
  type        = object({ node_type = string, nodes = number, snapshot_days = number })
}

variable "valkey_token" {
  description = "Password of the account state: from whoever applies (TF_VAR_valkey_token), in no file."
  type        = string
  sensitive   = true
}

variable "objectives" {
  description = "Bounds that raise an alarm: records behind, milliseconds of the 99th percentile, percent of requests."
  type        = object({ consumer_lag = number, p99_latency_ms = number, error_percent = number })
}

variable "alert_email" {
  description = "Who is told of alarms and of the budget."
  type        = string
}

variable "monthly_budget_usd" {
  description = "Budget of the account for a month, US dollars."
  type        = number
}

variable "emulated" {
  description = "Whether an emulator stands in for AWS: it has neither brokers nor nodes, so these are left out."
  type        = bool
  default     = false

  validation {
    condition     = !var.emulated || var.environment == "dev"
    error_message = "Only dev can be emulated: elsewhere this would remove brokers and nodes."
  }
}
