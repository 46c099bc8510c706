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

data "aws_region" "this" {}

locals {
  # The ARN of a topic that is yet to be made tells no region, and the provider has
  # to know it beforehand.
  topics = { for name, arn in var.topic_arns : name => { arn = arn, region = lookup(var.topic_regions, name, data.aws_region.this.region) } }

  # From a region that has to be enabled, SNS comes to functions elsewhere under that
  # region's name: https://docs.aws.amazon.com/sns/latest/dg/sns-cross-region-delivery.html
  # All regions that AWS opens are of this kind, and Osaka is for SNS: these are all
  # the others.
  always = [
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
    "eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3",
    "ap-northeast-1", "ap-northeast-2", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
  ]
  opt_in = { for region in distinct(concat(values(local.topics)[*].region, [data.aws_region.this.region])) :
  region => !contains(local.always, region) && !can(regex("^(cn|us-gov)-", region)) }
  principals = { for name, topic in local.topics : name =>
  topic.region != data.aws_region.this.region && local.opt_in[topic.region] ? "sns.${topic.region}.amazonaws.com" : "sns.amazonaws.com" }

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
  for_each = local.topics

  region    = each.value.region
  topic_arn = each.value.arn
  protocol  = "lambda"
  endpoint  = module.function.alias_arn

  depends_on = [aws_lambda_permission.topic]
}

resource "aws_lambda_permission" "topic" {
  for_each = local.topics

  statement_id  = "topic-${each.key}"
  action        = "lambda:InvokeFunction"
  function_name = module.function.name
  qualifier     = module.function.alias_name
  principal     = local.principals[each.key]
  source_arn    = each.value.arn

  lifecycle {
    precondition {
      condition     = split(":", each.value.arn)[3] == each.value.region
      error_message = "The topic ${each.value.arn} is not in ${each.value.region}: say in topic_regions where it is."
    }

    precondition {
      condition     = each.value.region == data.aws_region.this.region || !local.opt_in[data.aws_region.this.region]
      error_message = "SNS does not bring what is told to ${each.value.arn} to a function in ${data.aws_region.this.region}, which is a region that has to be enabled: deploy the function to ${each.value.region}, or to a region that everybody has."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = var.metric_alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = "Banyan/Operations"
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.seconds
  evaluation_periods  = each.value.periods
  threshold           = each.value.threshold
  comparison_operator = each.value.below ? "LessThanThreshold" : "GreaterThanOrEqualToThreshold"
  treat_missing_data  = each.value.below ? "breaching" : "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns
}
