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
  topics            = { consumed = "pix.transactions", produced = "pix.decisions" }
  buckets           = { artifacts = "arn:aws:s3:::artifacts", data = "arn:aws:s3:::data" }
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
    condition = alltrue([
      for account, trust in data.aws_iam_policy_document.workload_trust :
      contains(flatten([for c in trust.statement[0].condition : c.values]), account)
    ])
    error_message = "A workload's role must be bound to its own service account."
  }
}

run "refuses_wildcards" {
  command = plan

  variables {
    github_repository = "example/*"
    topics            = { consumed = "*", produced = "pix.decisions" }
  }

  expect_failures = [var.github_repository, var.topics]
}
