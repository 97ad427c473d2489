locals {
  zones = { for i, zone in var.availability_zones : zone => i }

  # Per /16: private /20 from .0.0, intra /24 from .64.0 (together inside the /22 that the NetworkPolicies name),
  # public /24 from .128.0.
  private_cidrs = { for zone, i in local.zones : zone => cidrsubnet(var.vpc_cidr, 4, i) }
  intra_cidrs   = { for zone, i in local.zones : zone => cidrsubnet(var.vpc_cidr, 8, 64 + i) }
  public_cidrs  = { for zone, i in local.zones : zone => cidrsubnet(var.vpc_cidr, 8, 128 + i) }
}

resource "aws_vpc" "this" {
  cidr_block           = var.vpc_cidr
  enable_dns_hostnames = true
  enable_dns_support   = true

  tags = { Name = var.name }
}

# Adopting the default group without rules locks it: nothing can come to rely on it.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-locked" }
}
