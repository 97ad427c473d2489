locals {
  oidc_provider = {
    arn    = aws_iam_openid_connect_provider.this.arn
    issuer = trimprefix(aws_iam_openid_connect_provider.this.url, "https://")
  }

  entries = {
    admin = { role_arn = var.admin_role_arn, policy = "AmazonEKSClusterAdminPolicy", namespaces = [] }
    ci    = { role_arn = var.ci_role_arn, policy = "AmazonEKSEditPolicy", namespaces = [var.namespace] }
  }
}

# Pods prove with this who they are: see modules/irsa.
resource "aws_iam_openid_connect_provider" "this" {
  url            = aws_eks_cluster.this.identity[0].oidc[0].issuer
  client_id_list = ["sts.amazonaws.com"]
}

resource "aws_eks_access_entry" "this" {
  for_each = local.entries

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = each.value.role_arn
}

resource "aws_eks_access_policy_association" "this" {
  for_each = local.entries

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_eks_access_entry.this[each.key].principal_arn
  policy_arn    = "arn:aws:eks::aws:cluster-access-policy/${each.value.policy}"

  access_scope {
    type       = length(each.value.namespaces) > 0 ? "namespace" : "cluster"
    namespaces = each.value.namespaces
  }
}
