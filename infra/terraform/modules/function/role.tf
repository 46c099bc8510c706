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

data "aws_iam_policy_document" "logs" {
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:log-stream:*"] # streams have names of Lambda's choice
  }
}

resource "aws_iam_role_policy" "logs" {
  name   = "logs"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.logs.json
}

data "aws_iam_policy_document" "statements" {
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

resource "aws_iam_role_policy" "statements" {
  count = length(var.statements) == 0 ? 0 : 1

  name   = "work"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.statements.json
}

locals {
  give_up = { sns = "sns:Publish", sqs = "sqs:SendMessage" }
}

data "aws_iam_policy_document" "given_up" {
  count = try(var.asynchronous.on_failure_arn, null) == null ? 0 : 1

  statement {
    sid       = "GivenUp"
    actions   = [local.give_up[split(":", var.asynchronous.on_failure_arn)[2]]]
    resources = [var.asynchronous.on_failure_arn]
  }
}

resource "aws_iam_role_policy" "given_up" {
  count = length(data.aws_iam_policy_document.given_up)

  name   = "given-up"
  role   = aws_iam_role.this.name
  policy = data.aws_iam_policy_document.given_up[0].json
}
