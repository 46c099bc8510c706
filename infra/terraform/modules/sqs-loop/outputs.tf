output "function" {
  description = "The polling function: its name, ARNs, alias, role and log group."
  value       = module.operation.function
}

output "steering" {
  description = "The other functions, by what they do."
  value       = { for name, operation in module.steering : name => operation.function }
}

output "alarm_names" {
  description = "Names of the alarms for people that are in the functions' region."
  value = concat(
    module.operation.alarm_names,
    flatten([for operation in module.steering : operation.alarm_names]),
    [for key, alarm in aws_cloudwatch_metric_alarm.oldest : alarm.alarm_name if local.regions[key] == data.aws_region.this.region],
    [aws_cloudwatch_metric_alarm.recursion.alarm_name],
  )
}
