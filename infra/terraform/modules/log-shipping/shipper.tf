resource "aws_sqs_queue" "refused" {
  name                      = "${local.shipper}-refused"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.function.kms_key_arn == null ? true : null
  kms_master_key_id         = var.function.kms_key_arn
}

module "shipper" {
  source = "../function"

  name               = local.shipper
  description        = "Puts logs from the stream into OpenSearch."
  package            = var.packages["log-shipper"]
  architecture       = var.function.architecture
  kms_key_arn        = var.function.kms_key_arn
  log_retention_days = 7
  alarm_topic_arns   = var.function.alarm_topic_arns
  timeout_seconds    = 120
  memory_mib         = 512

  environment = {
    OPENSEARCH_URL      = var.opensearch.url
    OPENSEARCH_AUTH     = "iam"
    OPENSEARCH_TEMPLATE = tostring(var.opensearch.put_template)
    LOG_INDEX           = var.opensearch.index
    LOG_DEAD_LETTER_URL = aws_sqs_queue.refused.url
  }

  statements = concat([
    {
      sid       = "Ship"
      actions   = ["es:ESHttpPost"]
      resources = ["${var.opensearch.arn}/_bulk"]
    },
    {
      sid       = "Refused"
      actions   = ["sqs:SendMessage"]
      resources = [aws_sqs_queue.refused.arn]
    },
    ], var.opensearch.put_template ? [{
      sid       = "Template"
      actions   = ["es:ESHttpPut"]
      resources = ["${var.opensearch.arn}/_index_template/${var.opensearch.index}-banyan"]
  }] : [])
}

module "mapping" {
  source = "../mapping"

  function           = { name = module.shipper.name, alias_arn = module.shipper.alias_arn, role_name = module.shipper.role_name }
  source_arn         = module.stream.arn
  source_kms_key_arn = var.function.kms_key_arn
  settings           = { window_seconds = 5 }
  kms_key_arn        = var.function.kms_key_arn

  iterator_age_alarm_seconds = var.stream.retention_hours * 1800 # half of what it may be at most
  alarm_topic_arns           = var.function.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "shipper" {
  for_each = {
    LogRefused     = "OpenSearch refused lines, which are in the queue now."
    LogUndecodable = "There are records in the stream that are no logs."
    LogGaps        = "Lines of the platform are missing: logs were lost before they came here."
    LogDropped     = "The shipper's own group is subscribed: a loop that somebody made."
  }

  alarm_name          = "${local.shipper}-${each.key}"
  alarm_description   = each.value
  namespace           = "Banyan/Operations"
  metric_name         = each.key
  dimensions          = { Function = local.shipper }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "refused" {
  alarm_name          = "${local.shipper}-refused-age"
  alarm_description   = "Lines that were refused wait for somebody, and go after 14 days."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.refused.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 7 * 86400
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns
}
