# What every Lambda function of Banyan has: a role of its own, logs that end, a
# version, an alias that deployments move, and alarms on that alias.
#
# Code belongs to deployments after the first apply: what they uploaded, and where
# they moved the alias, Terraform leaves. A changed environment, memory or timeout
# is published as a version, and takes effect when the next deployment moves the
# alias to it, with its alarms watched.

resource "aws_lambda_function" "this" {
  function_name                  = var.name
  description                    = var.description
  role                           = aws_iam_role.this.arn
  runtime                        = "provided.al2023"
  handler                        = "bootstrap"
  architectures                  = [var.architecture]
  layers                         = var.layers
  filename                       = var.package.zip
  source_code_hash               = try(filebase64sha256(var.package.zip), null)
  s3_bucket                      = var.package.s3_bucket
  s3_key                         = var.package.s3_key
  timeout                        = var.timeout_seconds
  memory_size                    = var.memory_mib
  reserved_concurrent_executions = var.reserved_concurrency
  kms_key_arn                    = var.kms_key_arn
  publish                        = true

  dynamic "environment" {
    for_each = length(var.environment) == 0 ? [] : [var.environment]
    content {
      variables = environment.value
    }
  }

  lifecycle {
    ignore_changes = [filename, source_code_hash, s3_bucket, s3_key, architectures]
  }

  # A function that runs without its log group makes one that is kept forever.
  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this]
}

resource "aws_lambda_alias" "this" {
  name             = var.alias
  description      = "What is invoked. Deployments move it."
  function_name    = aws_lambda_function.this.function_name
  function_version = aws_lambda_function.this.version

  lifecycle {
    ignore_changes = [function_version, routing_config]
  }
}

resource "aws_lambda_function_event_invoke_config" "this" {
  for_each = var.asynchronous == null ? {} : { (var.alias) = var.asynchronous }

  function_name                = aws_lambda_function.this.function_name
  qualifier                    = aws_lambda_alias.this.name
  maximum_retry_attempts       = each.value.retries
  maximum_event_age_in_seconds = each.value.max_age_seconds

  dynamic "destination_config" {
    for_each = each.value.on_failure_arn[*]
    content {
      on_failure {
        destination = destination_config.value
      }
    }
  }

  depends_on = [aws_iam_role_policy.this] # Lambda looks whether it may
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

locals {
  alarms = {
    errors    = { metric = "Errors", threshold = var.alarms.errors, why = "Invocations fail." }
    throttles = { metric = "Throttles", threshold = var.alarms.throttles, why = "Invocations are refused: the reserved concurrency or the account's is used up." }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = "AWS/Lambda"
  metric_name         = each.value.metric
  dimensions          = { FunctionName = aws_lambda_function.this.function_name, Resource = "${aws_lambda_function.this.function_name}:${aws_lambda_alias.this.name}" }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = var.alarms.minutes
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
