data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

# What the binary may do.
resource "aws_iam_role" "task" {
  name_prefix        = "${substr(var.name, 0, 32)}-task-"
  description        = "The binary of ${var.name}, and nobody else."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "task" {
  dynamic "statement" {
    for_each = var.statements
    content {
      sid       = statement.value.sid
      actions   = statement.value.actions
      resources = statement.value.resources
    }
  }
}

resource "aws_iam_role_policy" "task" {
  count = length(var.statements) == 0 ? 0 : 1

  name   = "work"
  role   = aws_iam_role.task.name
  policy = data.aws_iam_policy_document.task.json
}

# What ECS does to start a task: fetch the image and the secrets, and write logs.
resource "aws_iam_role" "start" {
  name_prefix        = "${substr(var.name, 0, 31)}-start-"
  description        = "ECS, when it starts a task of ${var.name}."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

locals {
  ecr        = can(regex("^[0-9]{12}\\.dkr\\.ecr\\.", var.image))
  repository = try(regex("^([0-9]{12})\\.dkr\\.ecr\\.([a-z0-9-]+)\\.[^/]+/([^:@]+)", var.image), null)
  read       = sort(distinct(concat(values(var.secrets), var.file[*].parameter_arn)))
  parameters = [for arn in local.read : arn if split(":", arn)[2] == "ssm"]
  secrets    = [for arn in local.read : arn if split(":", arn)[2] == "secretsmanager"]
}

data "aws_partition" "this" {}

data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"] # streams have names of ECS' choice
  }

  dynamic "statement" {
    for_each = local.ecr ? [1] : []
    content {
      sid       = "Registry"
      actions   = ["ecr:GetAuthorizationToken"]
      resources = ["*"] # AWS knows no resource for it
    }
  }

  dynamic "statement" {
    for_each = local.ecr ? [1] : []
    content {
      sid       = "Image"
      actions   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources = ["arn:${data.aws_partition.this.partition}:ecr:${local.repository[1]}:${local.repository[0]}:repository/${local.repository[2]}"]
    }
  }

  dynamic "statement" {
    for_each = length(local.parameters) == 0 ? [] : [1]
    content {
      sid       = "Parameters"
      actions   = ["ssm:GetParameters"]
      resources = local.parameters
    }
  }

  dynamic "statement" {
    for_each = length(local.secrets) == 0 ? [] : [1]
    content {
      sid       = "Secrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = local.secrets
    }
  }

  dynamic "statement" {
    for_each = length(var.secrets_kms_key_arns) == 0 ? [] : [1]
    content {
      sid       = "Decrypt"
      actions   = ["kms:Decrypt"]
      resources = var.secrets_kms_key_arns
    }
  }
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.name
  policy = data.aws_iam_policy_document.start.json
}
