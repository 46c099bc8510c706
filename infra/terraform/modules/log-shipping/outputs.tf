output "stream" {
  description = "The stream of logs: its name and ARN, for module stream-autoscaler."
  value       = { name = module.stream.name, arn = module.stream.arn }
}

output "shipper_role_name" {
  description = "Name of the shipper's role, for the domain's own policy."
  value       = module.shipper.role_name
}

output "refused_queue_url" {
  description = "URL of the queue with lines that OpenSearch refused."
  value       = aws_sqs_queue.refused.url
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = concat(module.subscriber.alarm_names, module.shipper.alarm_names, module.mapping.alarm_names, [for alarm in aws_cloudwatch_metric_alarm.shipper : alarm.alarm_name], [aws_cloudwatch_metric_alarm.refused.alarm_name])
}
