output "uuid" {
  description = "Id of the mapping."
  value       = aws_lambda_event_source_mapping.this.uuid
}

output "given_up_queue_url" {
  description = "URL of the queue with the positions of batches that were given up."
  value       = aws_sqs_queue.given_up.url
}

output "given_up_queue_name" {
  description = "Name of that queue."
  value       = aws_sqs_queue.given_up.name
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = [aws_cloudwatch_metric_alarm.iterator_age.alarm_name, aws_cloudwatch_metric_alarm.given_up.alarm_name]
}
