output "name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}

output "arn" {
  description = "ARN of the table."
  value       = aws_dynamodb_table.this.arn
}

output "indexes" {
  description = "Names of the indexes, which a consumer that is given the table may query."
  value       = keys(var.indexes)
}

output "stream_arn" {
  description = "ARN of the stream of changes, or null."
  value       = var.stream_view_type == null ? null : aws_dynamodb_table.this.stream_arn
}

output "kms_key_arn" {
  description = "Customer managed KMS key that the table is encrypted with, or null."
  value       = var.kms_key_arn
}
