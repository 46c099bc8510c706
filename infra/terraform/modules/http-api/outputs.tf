output "function" {
  description = "The function: its name, ARNs, alias, role and log group."
  value       = module.function
}

output "api_id" {
  description = "Id of the API, its name in CloudWatch's metrics."
  value       = aws_apigatewayv2_api.this.id
}

output "url" {
  description = "Where the API answers, without a slash at its end."
  value       = trimsuffix(aws_apigatewayv2_stage.this.invoke_url, "/")
}

output "access_log_group_name" {
  description = "Name of the log group with a line for each request."
  value       = aws_cloudwatch_log_group.access.name
}

output "alarm_names" {
  description = "Names of the alarms."
  value       = concat(module.function.alarm_names, [for alarm in aws_cloudwatch_metric_alarm.this : alarm.alarm_name])
}
