mock_provider "aws" {
  mock_data "aws_iam_policy_document" {
    defaults = { json = "{}" }
  }
}

variables {
  name              = "pixgates-test"
  environment       = "test"
  account_id        = "111122223333"
  region            = "sa-east-1"
  namespace         = "pixgates-test"
  github_repository = "example/pixgates"
  oidc_provider = {
    arn    = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.sa-east-1.amazonaws.com/id/0123"
    issuer = "oidc.eks.sa-east-1.amazonaws.com/id/0123"
  }
  topics  = { consumed = ["transactions"], produced = ["processed_transactions", "transactions_dead_letter"] }
  buckets = { artifacts = "arn:aws:s3:::artifacts", data = "arn:aws:s3:::data" }
  keys = {
    artifacts = "arn:aws:kms:sa-east-1:111122223333:key/artifacts"
    data      = "arn:aws:kms:sa-east-1:111122223333:key/data"
  }
  repository_arns = { scoring = "arn:aws:ecr:sa-east-1:111122223333:repository/pixgates-test/scoring" }
}

run "grants_the_least" {
  command = plan

  assert {
    condition = alltrue([
      for s in concat(
        data.aws_iam_policy_document.read_models.statement,
        data.aws_iam_policy_document.stream_worker.statement,
        data.aws_iam_policy_document.ci.statement,
        data.aws_iam_policy_document.boundary.statement,
      ) : !contains(s.resources, "*") || s.actions == toset(["ecr:GetAuthorizationToken"])
    ])
    error_message = "Only the registry login, which AWS cannot narrow, may name every resource."
  }

  assert {
    condition = alltrue([
      for s in data.aws_iam_policy_document.boundary.statement : !anytrue([
        for action in s.actions : startswith(action, "iam:") || strcontains(action, "*")
      ])
    ])
    error_message = "The boundary may not reach IAM nor whole services."
  }

  assert {
    condition = contains(
      flatten([for c in data.aws_iam_policy_document.ci_trust.statement[0].condition : c.values]),
      "repo:example/pixgates:environment:test",
    )
    error_message = "CI must be bound to one repository and one environment."
  }

  assert {
    condition     = keys(module.workload) == ["scoring", "stream-worker"]
    error_message = "Each workload must have a role of its own."
  }

  assert {
    condition = one([
      for s in data.aws_iam_policy_document.stream_worker.statement : s.resources if s.sid == "Produce"
      ]) == toset([
      "arn:aws:kafka:sa-east-1:111122223333:topic/pixgates-test/*/processed_transactions",
      "arn:aws:kafka:sa-east-1:111122223333:topic/pixgates-test/*/transactions_dead_letter",
    ])
    error_message = "The stream worker may write to its own topics only."
  }

  assert {
    condition = one([
      for s in data.aws_iam_policy_document.stream_worker.statement : s.resources if s.sid == "Transact"
    ]) == toset(["arn:aws:kafka:sa-east-1:111122223333:transactional-id/pixgates-test/*/stream-worker-*"])
    error_message = "The stream worker may make the transactions of its group only."
  }

  assert {
    condition = one([
      for s in data.aws_iam_policy_document.stream_worker.statement : s.resources if s.sid == "ReadAccounts"
    ]) == toset(["arn:aws:s3:::data/accounts/*"])
    error_message = "Of the data, the stream worker may read the accounts only."
  }
}

run "refuses_wildcards" {
  command = plan

  variables {
    github_repository = "example/*"
    topics            = { consumed = ["*"], produced = ["processed_transactions"] }
  }

  expect_failures = [var.github_repository, var.topics]
}
