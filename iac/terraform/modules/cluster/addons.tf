# Before the nodes, for they need them to become ready. NetworkPolicies are only text until the CNI enforces them.
resource "aws_eks_addon" "network" {
  for_each = {
    kube-proxy = { role_arn = null, configuration = null }
    vpc-cni    = { role_arn = module.cni_role.arn, configuration = jsonencode({ enableNetworkPolicy = "true" }) }
  }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  service_account_role_arn    = each.value.role_arn
  configuration_values        = each.value.configuration
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"
}

# After the nodes, for they run on them. Without metrics-server no HorizontalPodAutoscaler would ever scale, without
# the driver no PersistentVolumeClaim would ever get its disk.
resource "aws_eks_addon" "workload" {
  for_each = {
    aws-ebs-csi-driver = module.disk_role.arn
    coredns            = null
    metrics-server     = null
  }

  cluster_name                = aws_eks_cluster.this.name
  addon_name                  = each.key
  service_account_role_arn    = each.value
  resolve_conflicts_on_create = "OVERWRITE"
  resolve_conflicts_on_update = "OVERWRITE"

  depends_on = [aws_eks_node_group.this]
}

module "cni_role" {
  source = "../irsa"

  name            = "${var.name}-cni"
  oidc_provider   = local.oidc_provider
  namespace       = "kube-system"
  service_account = "aws-node"
}

resource "aws_iam_role_policy_attachment" "cni" {
  role       = module.cni_role.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"
}

module "disk_role" {
  source = "../irsa"

  name            = "${var.name}-ebs-csi"
  oidc_provider   = local.oidc_provider
  namespace       = "kube-system"
  service_account = "ebs-csi-controller-sa"
}

resource "aws_iam_role_policy_attachment" "disk" {
  role       = module.disk_role.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEBSCSIDriverPolicy"
}
