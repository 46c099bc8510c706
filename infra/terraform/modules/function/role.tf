data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "this" {
  name_prefix        = "${substr(var.name, 0, 37)}-"
  description        = "The function ${var.name}, and nobody else."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

locals {
  give_up = { sns = "sns:Publish", sqs = "sqs:SendMessage" }
}

# One policy: how many statements there are may be known at the apply only.
data "aws_iam_policy_document" "this" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"] # streams have names of Lambda's choice
  }

  dynamic "statement" {
    for_each = var.asynchronous == null ? [] : var.asynchronous.on_failure_arn[*]
    content {
      sid       = "GivenUp"
      actions   = [local.give_up[split(":", statement.value)[2]]]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.statements
    content {
      sid       = statement.value.sid
      effect    = statement.value.effect
      actions   = statement.value.actions
      resources = statement.value.resources

      dynamic "condition" {
        for_each = statement.value.conditions
        content {
          test     = condition.value.test
          variable = condition.value.variable
          values   = condition.value.values
        }
      }
    }
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "function"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.this.json
}
