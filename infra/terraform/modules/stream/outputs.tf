output "name" {
  description = "Name of the stream: EVENTS_STREAM of whoever publishes."
  value       = aws_kinesis_stream.this.name
}

output "arn" {
  description = "ARN of the stream."
  value       = aws_kinesis_stream.this.arn
}

output "publishing" {
  description = "The rights of a publisher, for the statements of a function or container."
  value = concat(
    [{
      sid       = "Publish"
      actions   = ["kinesis:ListShards", "kinesis:PutRecords"]
      resources = [aws_kinesis_stream.this.arn]
    }],
    var.kms_key_arn == null ? [] : [{
      sid       = "PublishEncrypted"
      actions   = ["kms:GenerateDataKey"]
      resources = [var.kms_key_arn]
    }],
  )
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}
