output "name" {
  description = "Name of the service."
  value       = aws_ecs_service.this.name
}

output "security_group_id" {
  description = "Security group of the tasks, for what lets them in, such as MongoDB's."
  value       = aws_security_group.this.id
}

output "target_group_suffix" {
  description = "The target group's name in CloudWatch's metrics, or null for a worker."
  value       = one(aws_lb_target_group.this[*].arn_suffix)
}

output "task_role_name" {
  description = "Name of the binary's role."
  value       = aws_iam_role.task.name
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = concat([for alarm in aws_cloudwatch_metric_alarm.balancer : alarm.alarm_name], [aws_cloudwatch_metric_alarm.cpu.alarm_name])
}
