# Logs of all functions and containers of a region, by a stream of their own, to
# OpenSearch. One in a region. Nothing is shipped inside of an invocation.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  place      = "${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}"
  groups     = "arn:${data.aws_partition.this.partition}:logs:${local.place}:log-group:*"
  shipper    = "${var.name}-log-shipper"
  subscriber = "${var.name}-log-subscriber"
}

module "stream" {
  source = "../stream"

  name                = "${var.name}-logs"
  mode                = var.stream.mode
  shards              = var.stream.shards
  retention_hours     = var.stream.retention_hours
  kms_key_arn         = var.function.kms_key_arn
  shard_level_metrics = var.stream.autoscaled ? ["IncomingBytes", "IncomingRecords", "WriteProvisionedThroughputExceeded"] : []
  alarm_topic_arns    = var.function.alarm_topic_arns
}

# CloudWatch Logs, when it brings the groups' events to the stream.
data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["logs.amazonaws.com"]
    }

    condition {
      test     = "StringLike"
      variable = "aws:SourceArn"
      values   = ["arn:${data.aws_partition.this.partition}:logs:${local.place}:*"]
    }
  }
}

resource "aws_iam_role" "delivery" {
  name_prefix        = "${substr(var.name, 0, 28)}-delivery-"
  description        = "CloudWatch Logs, to put into the stream ${var.name}-logs."
  assume_role_policy = data.aws_iam_policy_document.assume.json
}

data "aws_iam_policy_document" "delivery" {
  statement {
    sid       = "Deliver"
    actions   = ["kinesis:PutRecord", "kinesis:PutRecords"]
    resources = [module.stream.arn]
  }

  dynamic "statement" {
    for_each = var.function.kms_key_arn[*]
    content {
      sid       = "DeliverEncrypted"
      actions   = ["kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "delivery" {
  name   = "delivery"
  role   = aws_iam_role.delivery.name
  policy = data.aws_iam_policy_document.delivery.json
}

module "subscriber" {
  source = "../operation"

  name                 = local.subscriber
  description          = "Subscribes log groups to the stream of logs, and gives them a retention."
  function             = merge(var.function, { package = var.packages["log-subscriber"] })
  timeout_seconds      = 900
  memory_mib           = 256
  reserved_concurrency = 2
  asynchronous         = { retries = 2, max_age_seconds = 3600 } # their pauses of a minute suit a throttle
  schedules            = { back-fill = { expression = "rate(1 hour)" } }

  event_patterns = var.by_event ? { new-group = jsonencode({
    source      = ["aws.logs"]
    detail-type = ["AWS API Call via CloudTrail"]
    detail      = { eventSource = ["logs.amazonaws.com"], eventName = ["CreateLogGroup"] }
  }) } : {}

  environment = {
    LOG_STREAM_ARN        = module.stream.arn
    LOG_ROLE_ARN          = aws_iam_role.delivery.arn
    LOG_INCLUDE           = join(",", var.include)
    LOG_EXCLUDE           = join(",", var.exclude)
    LOG_SHIPPER_FUNCTIONS = local.shipper
    LOG_RETENTION_DAYS    = tostring(var.retention.days)
    LOG_RETENTION_EXCLUDE = join(",", var.retention.exclude)
    LOG_DRY_RUN           = tostring(var.dry_run)
  }

  statements = [
    {
      sid = "Groups"
      actions = [
        "logs:DescribeLogGroups",
        "logs:DescribeSubscriptionFilters",
        "logs:PutRetentionPolicy",
        "logs:PutSubscriptionFilter",
      ]
      resources = [local.groups]
      because   = "It works on all log groups of the region."
    },
    {
      sid       = "NoLoop"
      effect    = "Deny"
      actions   = ["logs:PutSubscriptionFilter"]
      resources = ["arn:${data.aws_partition.this.partition}:logs:${local.place}:log-group:/aws/lambda/${local.shipper}:*"]
    },
    {
      sid       = "Mappings"
      actions   = ["lambda:ListEventSourceMappings"]
      resources = ["*"]
      because   = "AWS knows no resource for it."
    },
    {
      sid       = "Readers"
      actions   = ["lambda:GetFunctionConfiguration"]
      resources = ["arn:${data.aws_partition.this.partition}:lambda:${local.place}:function:*"]
      because   = "It asks which functions read the stream, so that their groups are left alone."
    },
    {
      sid        = "Delivery"
      actions    = ["iam:PassRole"]
      resources  = [aws_iam_role.delivery.arn]
      conditions = [{ test = "StringEquals", variable = "iam:PassedToService", values = ["logs.amazonaws.com"] }]
    },
  ]

  metric_alarms = {
    failures = { metric = "Failures", dimensions = { Function = local.subscriber }, seconds = 3600, why = "Log groups could not be subscribed." }
    full     = { metric = "LogGroupsFull", dimensions = { Function = local.subscriber }, seconds = 3600, why = "Log groups have two subscriptions already: their logs are not shipped." }
  }
}
