output "name" {
  description = "Name of the function."
  value       = aws_lambda_function.this.function_name
}

output "arn" {
  description = "ARN of the function, without a version."
  value       = aws_lambda_function.this.arn
}

output "alias_name" {
  description = "Name of the alias."
  value       = aws_lambda_alias.this.name
}

output "alias_arn" {
  description = "ARN of the alias: what events are sent to."
  value       = aws_lambda_alias.this.arn
}

output "alias_invoke_arn" {
  description = "ARN by which API Gateway invokes the alias."
  value       = aws_lambda_alias.this.invoke_arn
}

output "role_name" {
  description = "Name of the function's role, to which other modules add what they need it to do."
  value       = aws_iam_role.this.name
}

output "log_group_name" {
  description = "Name of the log group."
  value       = aws_cloudwatch_log_group.this.name
}

output "log_group_arn" {
  description = "ARN of the log group."
  value       = aws_cloudwatch_log_group.this.arn
}

output "alarm_names" {
  description = "Names of the alarms that a deployment watches."
  value       = [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name]
}
