output "name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.this.arn
}

output "index_arns" {
  description = "ARNs of the indexes, by name."
  value       = { for name in keys(var.indexes) : name => "${aws_dynamodb_table.this.arn}/index/${name}" }
}

output "stream_arn" {
  description = "ARN of the stream of changes, or null."
  value       = var.stream_view_type == null ? null : aws_dynamodb_table.this.stream_arn
}

output "kms_key_arn" {
  description = "Customer managed KMS key that the table is encrypted with, or null."
  value       = var.kms_key_arn
}
