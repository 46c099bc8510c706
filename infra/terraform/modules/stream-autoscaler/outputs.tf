output "function" {
  description = "The function: its name, ARNs, alias, role and log group."
  value       = module.operation.function
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = module.operation.alarm_names
}
