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

output "reading" {
  description = "The rights of who reads all of it while running, for the statements of a function or container. Give fewer resources to whoever needs less."
  value = concat(
    [{
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = [aws_kms_key.this.arn]
    }],
    length(var.settings) + length(var.secrets) == 0 ? [] : [{
      sid     = "Parameters"
      actions = ["ssm:GetParameter", "ssm:GetParameters"]
      resources = concat(
        [for name in sort(keys(var.settings)) : aws_ssm_parameter.setting[name].arn],
        [for name in sort(tolist(var.secrets)) : aws_ssm_parameter.secret[name].arn],
      )
    }],
    var.mongodb == null ? [] : [{
      sid       = "MongoDB"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = aws_secretsmanager_secret.mongodb[*].arn
    }],
  )
}
