mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:sa-east-1:111122223333:key/mocked" }
  }

  mock_resource "aws_msk_configuration" {
    defaults = { arn = "arn:aws:kafka:sa-east-1:111122223333:configuration/pixgates-test/mocked" }
  }
}

variables {
  name                     = "pixgates-test"
  account_id               = "111122223333"
  region                   = "sa-east-1"
  vpc_id                   = "vpc-0123456789abcdef0"
  subnet_ids               = { sa-east-1a = "subnet-1", sa-east-1b = "subnet-2", sa-east-1c = "subnet-3" }
  client_security_group_id = "sg-nodes"
  instance_type            = "kafka.m7g.large"
  disk_gib                 = 100
  log_retention_days       = 365
}

run "is_encrypted_and_asks_who_comes" {
  command = plan

  assert {
    condition     = one(one(aws_msk_cluster.this[0].encryption_info).encryption_in_transit).client_broker == "TLS"
    error_message = "Clients may speak TLS only."
  }

  assert {
    condition     = one(one(aws_msk_cluster.this[0].encryption_info).encryption_in_transit).in_cluster
    error_message = "Brokers may speak TLS only among themselves."
  }

  assert {
    condition     = one(one(aws_msk_cluster.this[0].client_authentication).sasl).iam && !one(one(aws_msk_cluster.this[0].client_authentication).sasl).scram && !one(aws_msk_cluster.this[0].client_authentication).unauthenticated
    error_message = "IAM, and no other way in."
  }

  assert {
    condition     = one(one(one(aws_msk_cluster.this[0].logging_info).broker_logs).cloudwatch_logs).enabled
    error_message = "Brokers must log."
  }
}

run "survives_a_zone" {
  command = plan

  assert {
    condition     = aws_msk_cluster.this[0].number_of_broker_nodes == 3 && length(distinct(one(aws_msk_cluster.this[0].broker_node_group_info).client_subnets)) == 3
    error_message = "One broker must stand in each of three zones."
  }

  assert {
    condition = alltrue([
      for line in ["default.replication.factor=3", "min.insync.replicas=2", "unclean.leader.election.enable=false"] :
      contains(split("\n", aws_msk_configuration.this.server_properties), line)
    ])
    error_message = "What is confirmed must be in two zones, and no broker without it may lead."
  }

  assert {
    condition     = contains(split("\n", aws_msk_configuration.this.server_properties), "auto.create.topics.enable=false")
    error_message = "A misspelt topic must be an error, not a new topic."
  }
}

run "admits_the_nodes_on_one_port" {
  command = apply

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.security_group_id == aws_security_group.brokers.id && aws_vpc_security_group_ingress_rule.clients.referenced_security_group_id == "sg-nodes"
    error_message = "Only the nodes may reach the brokers."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 9098 && aws_vpc_security_group_ingress_rule.clients.to_port == 9098
    error_message = "Only the port of TLS with IAM may be open."
  }
}

run "refuses_two_zones_and_open_doors" {
  command = plan

  variables {
    subnet_ids               = { sa-east-1a = "subnet-1", sa-east-1b = "subnet-2" }
    client_security_group_id = "10.40.0.0/16"
    disk_gib                 = 1
    instance_type            = "m7g.large"
  }

  expect_failures = [var.subnet_ids, var.client_security_group_id, var.disk_gib, var.instance_type]
}
