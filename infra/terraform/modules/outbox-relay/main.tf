# The relay of one outbox table: woken by the table's stream, it publishes what a
# service kept there in the same transaction as its own write.

module "function" {
  source = "../function"

  name                 = var.name
  description          = "Publishes what is in the outbox ${var.outbox.name}."
  package              = var.package
  architecture         = var.architecture
  layers               = var.layers
  timeout_seconds      = var.timeout_seconds
  memory_mib           = var.memory_mib
  reserved_concurrency = var.reserved_concurrency
  kms_key_arn          = var.kms_key_arn
  log_retention_days   = var.log_retention_days
  alarm_topic_arns     = var.alarm_topic_arns

  environment = merge({
    OUTBOX_TABLE      = var.outbox.name
    EVENTS_STREAM     = var.stream.name
    DEAD_LETTER_TABLE = var.dead_letters.name
  }, var.environment)

  statements = concat([
    {
      sid       = "Outbox"
      actions   = ["dynamodb:DeleteItem", "dynamodb:DescribeTable", "dynamodb:Query", "dynamodb:UpdateItem"]
      resources = [var.outbox.arn]
    },
    {
      sid       = "DeadLetters"
      actions   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"] # to write and to redrive
      resources = [var.dead_letters.arn]
    },
    ],
    length(local.keys) == 0 ? [] : [{ sid = "Encrypted", actions = ["kms:Decrypt"], resources = local.keys }],
    var.stream.publishing,
  )
}

locals {
  keys = distinct([for table in [var.outbox, var.dead_letters] : table.kms_key_arn if table.kms_key_arn != null])
}

module "mapping" {
  source = "../mapping"

  function           = { name = module.function.name, alias_arn = module.function.alias_arn, role_name = module.function.role_name }
  source_arn         = var.outbox.stream_arn
  source_kms_key_arn = var.outbox.kms_key_arn
  settings           = merge({ for name, value in var.mapping : name => value if value != null }, var.mapping.filters == null ? { filters = [jsonencode({ eventName = ["INSERT"] })] } : {})
  kms_key_arn        = var.kms_key_arn

  iterator_age_alarm_seconds = var.iterator_age_alarm_seconds
  alarm_topic_arns           = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "Events that can never be published became dead letters. See why: banyan-consume deadletters list outbox-relay --table=${var.dead_letters.name}. When the cause is gone: banyan-consume deadletters redrive outbox-relay --table=${var.dead_letters.name} --function=${var.name}:${module.function.alias_name}."
  namespace           = "Banyan/Consumers"
  metric_name         = "DeadLetters"
  dimensions          = { Function = var.name }
  statistic           = "Sum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
