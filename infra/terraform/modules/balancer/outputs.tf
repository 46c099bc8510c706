output "listener_arn" {
  description = "ARN of the listener, for rules."
  value       = aws_lb_listener.this.arn
}

output "arn_suffix" {
  description = "The balancer's name in CloudWatch's metrics."
  value       = aws_lb.this.arn_suffix
}

output "security_group_id" {
  description = "The balancer's security group, which what is behind it lets in."
  value       = aws_security_group.this.id
}

output "url" {
  description = "Where the balancer answers."
  value       = "${lower(aws_lb_listener.this.protocol)}://${aws_lb.this.dns_name}"
}
