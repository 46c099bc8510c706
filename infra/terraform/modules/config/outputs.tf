output "kms_key_arn" {
  description = "ARN of the key."
  value       = aws_kms_key.this.arn
}

output "parameter_arns" {
  description = "ARNs of settings and secrets in SSM, by name."
  value = merge(
    { for name, parameter in aws_ssm_parameter.setting : name => parameter.arn },
    { for name, parameter in aws_ssm_parameter.secret : name => parameter.arn },
  )
}

output "mongodb_secret_arn" {
  description = "ARN of the secret with the MongoDB URI, or null."
  value       = one(aws_secretsmanager_secret.mongodb[*].arn)
}

locals {
  parameters = merge(aws_ssm_parameter.setting, aws_ssm_parameter.secret)
  words      = { for name in concat(keys(var.settings), tolist(var.secrets)) : name => replace(title(replace(name, "/[^a-zA-Z0-9]/", " ")), " ", "") }
}

output "references" {
  description = "What a program is given for a value that it reads by itself, and anew when it changes, by name: a reference as package config knows it. The MongoDB URI is mongodb-uri."
  value = merge(
    { for name, parameter in local.parameters : name => "ssm:${parameter.name}" },
    { for secret in aws_secretsmanager_secret.mongodb : "mongodb-uri" => "secret:${secret.name}" },
  )
}

output "reading" {
  description = "The rights of who reads a value by its reference, by name, for the statements of a function or container."
  value = merge(
    { for name, parameter in local.parameters : name => concat(
      [{ sid = "Read${local.words[name]}", actions = ["ssm:GetParameters"], resources = [parameter.arn] }],
      contains(var.secrets, name) ? [{ sid = "Decrypt${local.words[name]}", actions = ["kms:Decrypt"], resources = [aws_kms_key.this.arn] }] : [],
    ) },
    { for secret in aws_secretsmanager_secret.mongodb : "mongodb-uri" => [
      { sid = "ReadMongodbUri", actions = ["secretsmanager:GetSecretValue"], resources = [secret.arn] },
      { sid = "DecryptMongodbUri", actions = ["kms:Decrypt"], resources = [aws_kms_key.this.arn] },
    ] },
  )
}
