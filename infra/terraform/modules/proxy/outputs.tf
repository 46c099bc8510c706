output "container" {
  description = "The service: its name, security group, target group and role."
  value       = module.container
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = module.container.alarm_names
}
