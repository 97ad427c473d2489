"""A real Kafka on loopback, and the Terraform provider for it, from pinned parts that are kept between runs."""
