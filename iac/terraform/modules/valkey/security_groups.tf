resource "aws_security_group" "this" {
  name        = "${var.name}-state-store"
  description = "Account state: from the cluster's nodes, by TLS with a password, and nothing else."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-state-store" }
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.this.id
  description                  = "Clients, TLS with a password."
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  security_group_id            = var.client_security_group_id
  description                  = "Account state, TLS with a password."
  referenced_security_group_id = aws_security_group.this.id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port
}
