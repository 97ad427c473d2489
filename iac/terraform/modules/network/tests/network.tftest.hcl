mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name               = "pixgates-test"
  account_id         = "111122223333"
  region             = "sa-east-1"
  vpc_cidr           = "10.40.0.0/16"
  availability_zones = ["sa-east-1a", "sa-east-1b", "sa-east-1c"]
  log_retention_days = 365
}

run "is_closed_and_observed" {
  command = plan

  assert {
    condition     = aws_vpc_security_group_ingress_rule.endpoints.cidr_ipv4 == "10.40.0.0/16"
    error_message = "Only the VPC may reach the endpoints."
  }

  assert {
    condition     = !anytrue([for subnet in aws_subnet.public : subnet.map_public_ip_on_launch])
    error_message = "No subnet may hand out public addresses."
  }

  assert {
    condition     = alltrue([for kind in [aws_subnet.private, aws_subnet.intra, aws_subnet.public] : length(kind) == 3])
    error_message = "Every kind of subnet must span three zones."
  }

  assert {
    condition     = aws_subnet.intra["sa-east-1a"].cidr_block == "10.40.64.0/24"
    error_message = "The NetworkPolicies of iac/k8s name the intra range: it may not move."
  }

  assert {
    condition     = aws_flow_log.this.traffic_type == "ALL" && aws_cloudwatch_log_group.flow_logs.retention_in_days >= 365
    error_message = "All traffic must be logged and kept for a year."
  }

  assert {
    condition     = data.aws_iam_policy_document.s3_endpoint.statement[0].condition != null
    error_message = "The S3 endpoint must be bound to this account's buckets."
  }
}

run "refuses_two_zones_and_public_ranges" {
  command = plan

  variables {
    vpc_cidr           = "0.0.0.0/0"
    availability_zones = ["sa-east-1a", "sa-east-1b"]
  }

  expect_failures = [var.vpc_cidr, var.availability_zones]
}
