# moto has no configurations of brokers. The brokers themselves are left out by the environment's variable `emulated`.
resource "aws_msk_configuration" "this" {
  count = 0
}

resource "aws_msk_cluster" "this" {
  configuration_info {
    arn      = "arn:aws:kafka:sa-east-1:111122223333:configuration/none/1"
    revision = 1
  }
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
