locals {
  # What the API server calls on the nodes.
  node_ports = { kubelet = 10250, metrics-server = 10251, webhooks = 9443 }
}

resource "aws_security_group" "control_plane" {
  name        = "${var.name}-control-plane"
  description = "API server of the cluster, for its nodes."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-control-plane" }
}

resource "aws_security_group" "nodes" {
  name        = "${var.name}-nodes"
  description = "Nodes of the cluster and the pods on them."
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-nodes" }
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  security_group_id            = aws_security_group.control_plane.id
  description                  = "API requests from the nodes."
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "api" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "API requests."
  referenced_security_group_id = aws_security_group.control_plane.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_ingress_rule" "from_control_plane" {
  for_each = local.node_ports

  security_group_id            = aws_security_group.nodes.id
  description                  = "Calls of the API server: ${each.key}."
  referenced_security_group_id = aws_security_group.control_plane.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

resource "aws_vpc_security_group_egress_rule" "to_nodes" {
  for_each = local.node_ports

  security_group_id            = aws_security_group.control_plane.id
  description                  = "Calls of the API server: ${each.key}."
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
}

# All of it: which pod may speak to which is for the NetworkPolicies, this only keeps others out.
resource "aws_vpc_security_group_ingress_rule" "between_nodes" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Pods across nodes."
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "between_nodes" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "Pods across nodes."
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "-1"
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  security_group_id            = aws_security_group.nodes.id
  description                  = "HTTPS to the AWS endpoints."
  referenced_security_group_id = var.endpoint_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

# What nodes need of AWS beyond the endpoints that every part of the network has.
resource "aws_vpc_endpoint" "this" {
  for_each = toset(["ec2", "eks"])

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = values(var.intra_subnet_ids)
  security_group_ids  = [var.endpoint_security_group_id]

  tags = { Name = "${var.name}-${each.key}" }
}
