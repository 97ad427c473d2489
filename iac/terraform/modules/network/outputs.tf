output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "private_subnet_ids" {
  description = "Subnets of the workloads, by zone."
  value       = { for zone, subnet in aws_subnet.private : zone => subnet.id }
}

output "intra_subnet_ids" {
  description = "Subnets of brokers and endpoints, by zone."
  value       = { for zone, subnet in aws_subnet.intra : zone => subnet.id }
}

output "public_subnet_ids" {
  description = "Subnets of load balancers, by zone."
  value       = { for zone, subnet in aws_subnet.public : zone => subnet.id }
}

output "endpoint_security_group_id" {
  description = "Security group of the interface endpoints, for endpoints added by other modules."
  value       = aws_security_group.endpoints.id
}

output "log_key_arn" {
  description = "Key of the flow logs."
  value       = module.log_key.arn
}
