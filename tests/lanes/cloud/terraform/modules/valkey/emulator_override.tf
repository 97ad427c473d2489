# moto knows no nodes of a replication group, which the provider reads, and can't delete a group of subnets.
resource "aws_elasticache_replication_group" "this" {
  count             = 0
  subnet_group_name = null
}

resource "aws_elasticache_subnet_group" "this" {
  count = 0
}

output "address" {
  value = null
}

# moto forgets the description of a rule that names a security group.
resource "aws_vpc_security_group_egress_rule" "clients" {
  lifecycle {
    ignore_changes = [description]
  }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  lifecycle {
    ignore_changes = [description]
  }
}
