resource "aws_security_group" "brokers" {
  name        = "${var.name}-brokers"
  description = "Brokers: from the cluster's nodes, TLS with IAM, and nothing else."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-brokers" }
}

# Brokers reach one another on interfaces of AWS's own, so no rule lets them out or lets anybody but clients in.
resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id            = aws_security_group.brokers.id
  description                  = "Clients, TLS with IAM."
  referenced_security_group_id = var.client_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.iam_port
  to_port                      = local.iam_port
}

resource "aws_vpc_security_group_egress_rule" "clients" {
  security_group_id            = var.client_security_group_id
  description                  = "Brokers, TLS with IAM."
  referenced_security_group_id = aws_security_group.brokers.id
  ip_protocol                  = "tcp"
  from_port                    = local.iam_port
  to_port                      = local.iam_port
}
