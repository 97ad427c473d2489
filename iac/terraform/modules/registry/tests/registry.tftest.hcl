mock_provider "aws" {}

variables {
  name         = "pixgates-test"
  account_id   = "111122223333"
  repositories = ["scoring", "stream-worker"]
  keep_images  = 50
}

run "images_are_immutable_scanned_and_private" {
  command = plan

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : repository.image_tag_mutability == "IMMUTABLE"])
    error_message = "A tag may never point to other bytes."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : one(repository.image_scanning_configuration).scan_on_push])
    error_message = "Every image must be scanned when it is pushed."
  }

  assert {
    condition     = alltrue([for repository in aws_ecr_repository.this : one(repository.encryption_configuration).encryption_type == "KMS"])
    error_message = "Images must be encrypted with the module's key."
  }

  assert {
    condition = alltrue(flatten([
      for policy in aws_ecr_repository_policy.this : [for s in jsondecode(policy.policy).Statement : s.Effect == "Deny"]
    ]))
    error_message = "The repository policy only ever takes away."
  }
}

run "refuses_to_forget_images" {
  command = plan

  variables {
    keep_images = 1
  }

  expect_failures = [var.keep_images]
}
