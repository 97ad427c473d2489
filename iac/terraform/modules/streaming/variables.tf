variable "name" {
  description = "Name of the brokers' cluster and prefix of every other name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that owns the brokers."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of the brokers."
  type        = string
}

variable "vpc_id" {
  description = "VPC of the brokers."
  type        = string
}

variable "subnet_ids" {
  description = "Subnets of the brokers by zone, one broker in each."
  type        = map(string)

  validation {
    condition     = length(var.subnet_ids) == 3
    error_message = "Three zones are needed: two must confirm a record while the third is lost."
  }
}

variable "client_security_group_id" {
  description = "Security group of the cluster's nodes, the only clients."
  type        = string

  validation {
    condition     = startswith(var.client_security_group_id, "sg-")
    error_message = "client_security_group_id must be a security group: brokers are not opened to address ranges."
  }
}

variable "kafka_version" {
  description = "Kafka version as MSK names it."
  type        = string
  default     = "3.9.x"
}

variable "instance_type" {
  description = "Machine of a broker."
  type        = string

  validation {
    condition     = can(regex("^kafka\\.(t3|m7g)\\.[0-9a-z]+$", var.instance_type))
    error_message = "instance_type must be one of MSK's t3 or m7g."
  }
}

variable "disk_gib" {
  description = "Disk of a broker, GiB. It can only grow."
  type        = number

  validation {
    condition     = var.disk_gib >= 50 && var.disk_gib <= 16384
    error_message = "disk_gib must be between 50 and 16384."
  }
}

variable "log_retention_days" {
  description = "Days that broker logs are kept."
  type        = number

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be at least a year and a value that CloudWatch Logs accepts."
  }
}

variable "brokers" {
  description = "Whether there are brokers; false only where an emulator stands in for AWS, which has none."
  type        = bool
  default     = true
}
