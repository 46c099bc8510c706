output "function" {
  description = "The function: its name, ARNs, alias, role and log group."
  value       = module.function
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = concat(module.function.alarm_names, [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}
