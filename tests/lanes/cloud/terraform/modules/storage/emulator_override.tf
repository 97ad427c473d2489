# moto writes access logs as S3 does, and a bucket that holds some is not destroyed.
resource "aws_s3_bucket" "logs" {
  force_destroy = true
}
