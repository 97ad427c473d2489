"""Payments from Kafka: read in one order, scored, counted by window, and written exactly once."""
