module "key" {
  source = "../key"

  name        = "${var.name}-images"
  description = "Container images of ${var.name}."
  account_id  = var.account_id
}

resource "aws_ecr_repository" "this" {
  for_each = var.repositories

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = module.key.arn
  }

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = var.repositories

  repository = aws_ecr_repository.this[each.key].name

  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "Untagged layers are left-overs of failed pushes."
        selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
        action       = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "Keep enough images to roll back."
        selection    = { tagStatus = "tagged", tagPatternList = ["*"], countType = "imageCountMoreThan", countNumber = var.keep_images }
        action       = { type = "expire" }
      },
    ]
  })
}

resource "aws_ecr_repository_policy" "this" {
  for_each = var.repositories

  repository = aws_ecr_repository.this[each.key].name

  # Who pushes and pulls is granted to roles; the repository itself shuts out every other account and forbids
  # to swap the bytes behind a tag.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OnlyThisAccount"
        Effect    = "Deny"
        Principal = "*"
        Action    = "ecr:*"
        Condition = { StringNotEquals = { "aws:PrincipalAccount" = var.account_id } }
      },
      {
        Sid       = "TagsStayImmutable"
        Effect    = "Deny"
        Principal = "*"
        Action    = "ecr:PutImageTagMutability"
      },
    ]
  })
}
