mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }

  mock_resource "aws_eks_cluster" {
    defaults = { identity = [{ oidc = [{ issuer = "https://oidc.eks.sa-east-1.amazonaws.com/id/0123" }] }] }
  }

  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::111122223333:role/mocked" }
  }

  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:sa-east-1:111122223333:key/mocked" }
  }

  mock_resource "aws_iam_openid_connect_provider" {
    defaults = { arn = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.sa-east-1.amazonaws.com/id/0123" }
  }

  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0123456789abcdef0" }
  }
}

variables {
  name                       = "pixgates-test"
  account_id                 = "111122223333"
  region                     = "sa-east-1"
  kubernetes_version         = "1.33"
  vpc_id                     = "vpc-0123456789abcdef0"
  private_subnet_ids         = { sa-east-1a = "subnet-1", sa-east-1b = "subnet-2", sa-east-1c = "subnet-3" }
  intra_subnet_ids           = { sa-east-1a = "subnet-4", sa-east-1b = "subnet-5", sa-east-1c = "subnet-6" }
  endpoint_security_group_id = "sg-endpoints"
  namespace                  = "pixgates-test"
  ci_role_arn                = "arn:aws:iam::111122223333:role/pixgates-test-ci"
  admin_role_arn             = "arn:aws:iam::111122223333:role/platform-admin"
  log_retention_days         = 365
  node_groups                = { general = { instance_types = ["m7i.large"], min_nodes = 3, max_nodes = 6, disk_gib = 50 } }
}

run "is_private_encrypted_and_logged" {
  command = plan

  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).endpoint_private_access && !one(aws_eks_cluster.this.vpc_config).endpoint_public_access
    error_message = "The API server may answer inside the VPC only."
  }

  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"])
    error_message = "Secrets must be encrypted with the module's key."
  }

  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5
    error_message = "Every log of the control plane must be on."
  }

  assert {
    condition     = aws_cloudwatch_log_group.control_plane.name == "/aws/eks/pixgates-test/cluster"
    error_message = "EKS writes to the group of this name; any other would stay empty."
  }

  assert {
    condition     = jsondecode(aws_eks_addon.network["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "The CNI must enforce NetworkPolicies."
  }

  assert {
    condition     = keys(aws_eks_addon.workload) == ["aws-ebs-csi-driver", "coredns", "metrics-server"]
    error_message = "Names, figures to scale by, and disks for claims are needed."
  }
}

run "nodes_keep_their_credentials_and_disks_to_themselves" {
  command = plan

  assert {
    condition = alltrue([
      for template in aws_launch_template.node :
      one(template.metadata_options).http_tokens == "required" && one(template.metadata_options).http_put_response_hop_limit == 1
    ])
    error_message = "Nodes must require IMDSv2 and keep pods away from it."
  }

  assert {
    condition = alltrue(flatten([
      for template in aws_launch_template.node : [
        for device in template.block_device_mappings : one(device.ebs).encrypted == "true" && one(device.ebs).volume_type == "gp3"
      ]
    ]))
    error_message = "Every disk must be encrypted gp3."
  }

  assert {
    condition     = length(aws_eks_node_group.this["general"].subnet_ids) == 3
    error_message = "The nodes must spread over three zones."
  }
}

run "lets_in_whom_it_names" {
  command = apply

  assert {
    condition     = one(aws_eks_cluster.this.access_config).authentication_mode == "API"
    error_message = "Access must be by access entries only."
  }

  assert {
    condition     = !one(aws_eks_cluster.this.access_config).bootstrap_cluster_creator_admin_permissions
    error_message = "Having created the cluster may not make an administrator."
  }

  assert {
    condition     = one(aws_eks_access_policy_association.this["ci"].access_scope).namespaces == toset(["pixgates-test"])
    error_message = "CI may change its namespace only."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.api.referenced_security_group_id == aws_security_group.nodes.id
    error_message = "Only the nodes may call the API server."
  }

  assert {
    condition     = output.oidc_provider.issuer == "oidc.eks.sa-east-1.amazonaws.com/id/0123"
    error_message = "Roles need the issuer without its scheme."
  }
}

run "refuses_one_zone_old_versions_and_users" {
  command = plan

  variables {
    kubernetes_version = "1.29"
    private_subnet_ids = { sa-east-1a = "subnet-1" }
    admin_role_arn     = "arn:aws:iam::111122223333:user/somebody"
    node_groups        = { general = { instance_types = ["m7i.large"], min_nodes = 1, max_nodes = 6, disk_gib = 50 } }
  }

  expect_failures = [var.kubernetes_version, var.private_subnet_ids, var.admin_role_arn, var.node_groups]
}
