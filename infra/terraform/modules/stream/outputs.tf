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
  value = [{
    sid       = "Publish"
    actions   = concat(["kinesis:ListShards", "kinesis:PutRecords"], [for key in var.kms_key_arn[*] : "kms:GenerateDataKey"])
    resources = concat([aws_kinesis_stream.this.arn], var.kms_key_arn[*])
  }]
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}
