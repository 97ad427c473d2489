# moto has no DNS options of endpoints.
resource "aws_vpc_endpoint" "s3" {
  lifecycle {
    ignore_changes = [dns_options]
  }
}
