# One consumer: a function of yours that is handed the events of the stream, the
# tables that it writes, if any, and the places for what it cannot handle.

module "function" {
  source = "../function"

  name                    = var.name
  description             = var.description
  package                 = var.package
  architecture            = var.architecture
  timeout_seconds         = var.timeout_seconds
  memory_mib              = var.memory_mib
  reserved_concurrency    = var.reserved_concurrency
  provisioned_concurrency = var.provisioned_concurrency
  kms_key_arn             = var.kms_key_arn
  log_retention_days      = var.log_retention_days
  alarm_topic_arns        = var.alarm_topic_arns

  environment = merge(
    { for variable, table in var.tables : variable => table.name },
    { for table in var.dead_letters[*] : "DEAD_LETTER_TABLE" => table.name },
    { for policy in var.dead_letters == null ? ["halt"] : [] : "ON_FAILURE" => policy },
    { METRICS_NAMESPACE = var.metrics_namespace },
    { FUNCTION_TIMEOUT = "${var.timeout_seconds}s", MAPPING_RETRIES = coalesce(var.mapping.retries, -1) }, # for its checks of the others
    var.environment,
  )

  statements = concat(
    length(var.tables) == 0 ? [] : [{
      sid = "ReadModel"
      actions = [ # the items that a transaction writes and checks count one by one
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:DescribeTable",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:UpdateItem",
      ]
      resources = [for table in values(var.tables) : table.arn]
    }],
    [for table in var.dead_letters[*] : {
      sid       = "DeadLetters"
      actions   = ["dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"] # to write and to redrive
      resources = [table.arn]
    }],
    length(local.indexes) == 0 ? [] : [{ sid = "Indexes", actions = ["dynamodb:Query"], resources = local.indexes }],
    length(local.keys) == 0 ? [] : [{ sid = "Encrypted", actions = ["kms:Decrypt"], resources = local.keys }],
    var.statements,
  )
}

locals {
  keys    = distinct([for table in concat(values(var.tables), var.dead_letters[*]) : table.kms_key_arn if table.kms_key_arn != null])
  indexes = flatten([for table in values(var.tables) : [for index in table.indexes : "${table.arn}/index/${index}"]])
}

module "mapping" {
  source = "../mapping"

  function           = { name = module.function.name, alias_arn = module.function.alias_arn, role_name = module.function.role_name }
  source_arn         = var.stream_arn
  source_kms_key_arn = var.stream_kms_key_arn
  settings           = var.mapping
  kms_key_arn        = var.kms_key_arn

  iterator_age_alarm_seconds = var.iterator_age_alarm_seconds
  alarm_topic_arns           = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  count = var.dead_letters == null ? 0 : 1

  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "Events became dead letters. Which consumers have some, and why: banyan-consume deadletters stats --table=${var.dead_letters.name}. When the cause is gone: banyan-consume deadletters redrive CONSUMER --table=${var.dead_letters.name} --function=${var.name}:${module.function.alias_name}."
  namespace           = var.metrics_namespace
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
