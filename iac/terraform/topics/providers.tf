provider "kafka" {
  bootstrap_servers = split(",", var.bootstrap_servers)
  tls_enabled       = true
  sasl_mechanism    = "aws-iam"
  sasl_aws_region   = var.region
}
