# One operations function, and what invokes its alias: schedules, events, topics.

module "function" {
  source = "../function"

  name                 = var.name
  description          = var.description
  package              = var.function.package
  architecture         = var.function.architecture
  kms_key_arn          = var.function.kms_key_arn
  log_retention_days   = var.function.log_retention_days
  alarm_topic_arns     = var.function.alarm_topic_arns
  timeout_seconds      = var.timeout_seconds
  memory_mib           = var.memory_mib
  reserved_concurrency = var.reserved_concurrency
  environment          = var.environment
  statements           = var.statements
  asynchronous         = var.asynchronous
}

locals {
  rules = merge(
    { for name, schedule in var.schedules : name => { expression = schedule.expression, pattern = null, input = schedule.input } },
    { for name, pattern in var.event_patterns : name => { expression = null, pattern = pattern, input = null } },
  )
}

resource "aws_cloudwatch_event_rule" "this" {
  for_each = local.rules

  name                = "${var.name}-${each.key}"
  description         = "Invokes ${var.name}."
  schedule_expression = each.value.expression
  event_pattern       = each.value.pattern
}

resource "aws_cloudwatch_event_target" "this" {
  for_each = local.rules

  rule      = aws_cloudwatch_event_rule.this[each.key].name
  target_id = "function"
  arn       = module.function.alias_arn
  input     = each.value.input
}

resource "aws_lambda_permission" "rule" {
  for_each = local.rules

  statement_id  = "rule-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = module.function.name
  qualifier     = module.function.alias_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.this[each.key].arn
}

resource "aws_sns_topic_subscription" "this" {
  for_each = var.topic_arns

  topic_arn = each.value
  protocol  = "lambda"
  endpoint  = module.function.alias_arn

  depends_on = [aws_lambda_permission.topic]
}

resource "aws_lambda_permission" "topic" {
  for_each = var.topic_arns

  statement_id  = "topic-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = module.function.name
  qualifier     = module.function.alias_name
  principal     = "sns.amazonaws.com"
  source_arn    = each.value
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = var.metric_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = "Banyan/Operations"
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = "Sum"
  period              = each.value.seconds
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns
}
