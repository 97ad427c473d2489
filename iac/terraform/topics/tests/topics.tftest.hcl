mock_provider "kafka" {}

variables {
  bootstrap_servers = "b-1.example.com:9098,b-2.example.com:9098,b-3.example.com:9098"
}

run "declares_what_the_data_says" {
  command = plan

  assert {
    condition = keys(kafka_topic.this) == [
      "processed_transactions", "transactions", "transactions_aggregated", "transactions_dead_letter",
    ]
    error_message = "The pipeline needs these four topics."
  }

  assert {
    condition = alltrue([
      for topic in kafka_topic.this : topic.replication_factor == 3 && topic.config["min.insync.replicas"] == "2"
    ])
    error_message = "Every record must survive the loss of a zone."
  }

  assert {
    condition     = alltrue([for topic in kafka_topic.this : tonumber(topic.config["retention.ms"]) >= 7 * 24 * 3600000])
    error_message = "A consumer that stood still over a long weekend must find every record."
  }
}

run "refuses_addresses_without_port" {
  command = plan

  variables {
    bootstrap_servers = "b-1.example.com"
  }

  expect_failures = [var.bootstrap_servers]
}
