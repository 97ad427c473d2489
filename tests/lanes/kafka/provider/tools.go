//go:build tools

// Package tools pins the Terraform provider for Kafka and all that it is built from: go.sum has their digests.
package tools

import _ "github.com/Mongey/terraform-provider-kafka"
