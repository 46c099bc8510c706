output "function" {
  description = "The polling function: its name, ARNs, alias, role and log group."
  value       = module.operation.function
}

output "steering" {
  description = "The other functions, by what they do."
  value       = { for name, operation in module.steering : name => operation.function }
}

output "alarm_names" {
  description = "Names of the alarms for people."
  value = concat(
    module.operation.alarm_names,
    flatten([for operation in module.steering : operation.alarm_names]),
    [for alarm in aws_cloudwatch_metric_alarm.oldest : alarm.alarm_name],
    [aws_cloudwatch_metric_alarm.recursion.alarm_name],
  )
}
