variable "name" {
  description = "Prefix of every name, <project>-<environment>."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,20}[a-z0-9]$", var.name))
    error_message = "name must be 4 to 22 lower-case letters, digits or hyphens, beginning with a letter."
  }
}

variable "account_id" {
  description = "Account that owns the network."
  type        = string

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be 12 digits."
  }
}

variable "region" {
  description = "Region of the network."
  type        = string
}

variable "vpc_cidr" {
  description = "Private IPv4 range of the VPC, a /16."
  type        = string

  validation {
    condition     = can(regex("^10\\.[0-9]{1,3}\\.0\\.0/16$", var.vpc_cidr)) && can(cidrnetmask(var.vpc_cidr))
    error_message = "vpc_cidr must be a /16 inside 10.0.0.0/8."
  }
}

variable "availability_zones" {
  description = "The three zones to spread over."
  type        = list(string)

  validation {
    condition     = length(distinct(var.availability_zones)) == 3
    error_message = "Exactly three different zones are needed: the brokers' quorum must survive the loss of one."
  }

  validation {
    condition     = alltrue([for zone in var.availability_zones : startswith(zone, var.region)])
    error_message = "Every zone must belong to the region."
  }
}

variable "log_retention_days" {
  description = "Days that flow logs are kept."
  type        = number

  validation {
    condition     = contains([365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653], var.log_retention_days)
    error_message = "log_retention_days must be at least a year and a value that CloudWatch Logs accepts."
  }
}
