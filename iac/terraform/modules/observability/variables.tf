variable "name" {
  description = "Name of the cluster and the brokers, and prefix of every other name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that is observed."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of logs and alarms."
  type        = string
}

variable "cluster_name" {
  description = "The cluster, as an output of its module, so that it is there first."
  type        = string

  validation {
    condition     = var.cluster_name == var.name
    error_message = "The cluster must be called as everything else: its logs carry its name."
  }
}

variable "oidc_provider" {
  description = "OIDC provider of the cluster: its ARN, and its issuer without https://."
  type        = object({ arn = string, issuer = string })
}

variable "broker_ids" {
  description = "Ids of the brokers."
  type        = list(number)

  validation {
    condition     = length(var.broker_ids) >= 3
    error_message = "Every broker is watched, and there are at least three."
  }
}

variable "consumers" {
  description = "Whose lag is watched: topic to consumer group."
  type        = map(string)

  validation {
    condition     = length(var.consumers) > 0
    error_message = "At least one consumer must be watched: an empty map would watch nothing and never alarm."
  }
}

variable "objectives" {
  description = "Bounds that raise an alarm: records behind, milliseconds of the 99th percentile, percent of requests."
  type        = object({ consumer_lag = number, p99_latency_ms = number, error_percent = number })

  validation {
    condition     = alltrue([for bound in values(var.objectives) : bound > 0])
    error_message = "Every bound must be above zero."
  }

  validation {
    condition     = var.objectives.error_percent < 100
    error_message = "error_percent must be below 100, else it never alarms."
  }
}

variable "alert_email" {
  description = "Who is told; the address must confirm the subscription once."
  type        = string

  validation {
    condition     = can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", var.alert_email))
    error_message = "alert_email must be an address."
  }
}

variable "monthly_budget_usd" {
  description = "Budget of the account for a month, US dollars."
  type        = number

  validation {
    condition     = var.monthly_budget_usd > 0
    error_message = "monthly_budget_usd must be above zero."
  }
}

variable "log_retention_days" {
  description = "Days that logs of workloads and nodes are kept."
  type        = number

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be at least a year and a value that CloudWatch Logs accepts."
  }
}
