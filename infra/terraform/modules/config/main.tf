# Configuration and secrets of one environment, with a KMS key of their own. The
# values of secrets do not pass through Terraform, so they are not in its state.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_iam_policy_document" "key" {
  #checkov:skip=CKV_AWS_109:A key's policy is about its key only.
  #checkov:skip=CKV_AWS_111:A key's policy is about its key only.
  #checkov:skip=CKV_AWS_356:A key's policy is about its key only.

  # Who may use the key is said by the roles' own policies. The account's root
  # stands for them, and keeps the key from being locked away.
  statement {
    sid = "Account"
    actions = [
      "kms:CancelKeyDeletion",
      "kms:CreateAlias",
      "kms:CreateGrant",
      "kms:Decrypt",
      "kms:DeleteAlias",
      "kms:DescribeKey",
      "kms:DisableKey",
      "kms:EnableKey",
      "kms:EnableKeyRotation",
      "kms:DisableKeyRotation",
      "kms:Encrypt",
      "kms:GenerateDataKey",
      "kms:GetKeyPolicy",
      "kms:GetKeyRotationStatus",
      "kms:ListGrants",
      "kms:ListKeyPolicies",
      "kms:ListResourceTags",
      "kms:PutKeyPolicy",
      "kms:ReEncryptFrom",
      "kms:ReEncryptTo",
      "kms:RevokeGrant",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:UpdateAlias",
      "kms:UpdateKeyDescription",
    ]
    resources = ["*"] # a key's policy knows no other resource than its key

    principals {
      type        = "AWS"
      identifiers = ["arn:${data.aws_partition.this.partition}:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }

  dynamic "statement" {
    for_each = length(var.key_users) == 0 ? [] : [var.key_users]
    content {
      sid       = "Services"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = ["*"] # as above

      principals {
        type        = "Service"
        identifiers = statement.value
      }

      condition {
        test     = "StringEquals"
        variable = "aws:SourceAccount"
        values   = [data.aws_caller_identity.this.account_id]
      }
    }
  }
}

resource "aws_kms_key" "this" {
  description             = "Configuration and secrets below ${var.prefix}."
  enable_key_rotation     = true
  deletion_window_in_days = var.key_deletion_days
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias${var.prefix}"
  target_key_id = aws_kms_key.this.key_id
}

resource "aws_ssm_parameter" "setting" {
  for_each = var.settings

  name  = "${var.prefix}/${each.key}"
  type  = "String"
  tier  = length(each.value) > 4096 ? "Advanced" : "Standard"
  value = each.value
}

resource "aws_ssm_parameter" "secret" {
  for_each = var.secrets

  name   = "${var.prefix}/${each.key}"
  type   = "SecureString"
  key_id = aws_kms_key.this.arn
  value  = "unset"

  lifecycle {
    ignore_changes = [value]
  }
}

resource "aws_secretsmanager_secret" "mongodb" {
  count = var.mongodb == null ? 0 : 1

  name                    = "${trimprefix(var.prefix, "/")}/mongodb-uri"
  description             = "The MongoDB URI. Whoever uses it reads it anew when it changes."
  kms_key_id              = aws_kms_key.this.arn
  recovery_window_in_days = var.mongodb.recovery_days
}

# The hook of the rotation: a function of yours that makes a new user in MongoDB
# and puts the URI with it, in the four steps that Secrets Manager asks for.
resource "aws_secretsmanager_secret_rotation" "mongodb" {
  #checkov:skip=CKV_AWS_304:It is 30 days unless said otherwise, which the policy cannot see.

  count = var.mongodb == null ? 0 : var.mongodb.rotation == null ? 0 : 1

  secret_id           = aws_secretsmanager_secret.mongodb[0].id
  rotation_lambda_arn = var.mongodb.rotation.function_arn
  rotate_immediately  = false

  rotation_rules {
    automatically_after_days = var.mongodb.rotation.days
  }

  depends_on = [aws_lambda_permission.rotation]
}

resource "aws_lambda_permission" "rotation" {
  count = var.mongodb == null ? 0 : var.mongodb.rotation == null ? 0 : 1

  statement_id  = "SecretsManager"
  action        = "lambda:InvokeFunction"
  function_name = var.mongodb.rotation.function_arn
  principal     = "secretsmanager.amazonaws.com"
  source_arn    = aws_secretsmanager_secret.mongodb[0].arn
}
