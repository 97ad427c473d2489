resource "aws_sns_topic" "fraud_alerts" {
  name = "fraud-alerts"
}
