variable "bootstrap_servers" {
  description = "Addresses of the brokers, host:port with commas: an output of the environment."
  type        = string

  validation {
    condition     = alltrue([for address in split(",", var.bootstrap_servers) : can(regex("^[a-z0-9.-]+:[0-9]+$", address))])
    error_message = "bootstrap_servers must be host:port, several with commas and no blanks."
  }
}

variable "region" {
  description = "Region of the brokers."
  type        = string
  default     = "sa-east-1"
}
