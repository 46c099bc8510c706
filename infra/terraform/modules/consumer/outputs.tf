output "function" {
  description = "The function: its name, ARNs, alias, role and log group."
  value       = module.function
}

output "mapping_uuid" {
  description = "Id of the event source mapping."
  value       = module.mapping.uuid
}

output "given_up_queue_url" {
  description = "URL of the queue with the positions of batches that were given up."
  value       = module.mapping.given_up_queue_url
}

output "alarm_names" {
  description = "Names of all alarms of the consumer."
  value       = concat(module.function.alarm_names, module.mapping.alarm_names, aws_cloudwatch_metric_alarm.dead_letters[*].alarm_name)
}
