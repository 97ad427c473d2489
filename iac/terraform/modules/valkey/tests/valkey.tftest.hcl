mock_provider "aws" {
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:sa-east-1:111122223333:key/mocked" }
  }

  mock_resource "aws_elasticache_replication_group" {
    defaults = { primary_endpoint_address = "master.pixgates-test-state.cache.internal" }
  }
}

variables {
  name                     = "pixgates-test"
  account_id               = "111122223333"
  region                   = "sa-east-1"
  vpc_id                   = "vpc-0123456789abcdef0"
  subnet_ids               = { sa-east-1a = "subnet-1", sa-east-1b = "subnet-2", sa-east-1c = "subnet-3" }
  client_security_group_id = "sg-nodes"
  node_type                = "cache.t4g.small"
  nodes                    = 2
  snapshot_days            = 7
  auth_token               = "0123456789abcdef0123456789abcdef"
  log_retention_days       = 365
}

run "is_encrypted_and_asks_who_comes" {
  command = apply

  assert {
    condition     = aws_elasticache_replication_group.this.transit_encryption_enabled && aws_elasticache_replication_group.this.transit_encryption_mode == "required"
    error_message = "Clients may speak TLS only."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.at_rest_encryption_enabled && aws_elasticache_replication_group.this.kms_key_id == module.key.arn
    error_message = "The state must be encrypted at rest by the module's key."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.auth_token == var.auth_token
    error_message = "Nobody may come in without the password."
  }
}

run "survives_a_zone" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.multi_az_enabled && aws_elasticache_replication_group.this.automatic_failover_enabled && aws_elasticache_replication_group.this.num_cache_clusters == 2
    error_message = "A replica in another zone must take over."
  }

  assert {
    condition     = length(aws_elasticache_subnet_group.this.subnet_ids) == 3
    error_message = "The nodes must be able to stand in every zone."
  }

  assert {
    condition     = aws_elasticache_replication_group.this.snapshot_retention_limit == 7
    error_message = "There must be snapshots to return to."
  }
}

run "keeps_the_keys_of_a_payment_in_one_place" {
  command = plan

  assert {
    condition     = aws_elasticache_replication_group.this.engine == "valkey" && aws_elasticache_replication_group.this.num_cache_clusters == var.nodes
    error_message = "One shard of Valkey: the service asks for all keys of a payment at once."
  }
}

run "admits_the_nodes_on_one_port" {
  command = apply

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.security_group_id == aws_security_group.this.id && aws_vpc_security_group_ingress_rule.clients.referenced_security_group_id == "sg-nodes"
    error_message = "Only the nodes may reach the state."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.clients.from_port == 6379 && aws_vpc_security_group_ingress_rule.clients.to_port == 6379
    error_message = "Only the port of Valkey may be open."
  }

  assert {
    condition     = output.address == "master.pixgates-test-state.cache.internal:6379"
    error_message = "The name that a failover keeps must be told, with its port."
  }
}

run "refuses_a_single_node_and_weak_passwords" {
  command = plan

  variables {
    subnet_ids               = { sa-east-1a = "subnet-1" }
    client_security_group_id = "10.40.0.0/16"
    nodes                    = 1
    node_type                = "t4g.small"
    snapshot_days            = 0
    auth_token               = "with@sign"
  }

  expect_failures = [var.subnet_ids, var.client_security_group_id, var.nodes, var.node_type, var.snapshot_days, var.auth_token]
}
