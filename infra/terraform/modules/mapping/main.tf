# How a function is handed the records of a stream, and where the position of a
# batch goes that is given up: to a queue, which holds shard and sequence numbers,
# not the records. They have to be read while the stream still has them, so one
# message there raises an alarm.

locals {
  kinesis = split(":", var.source_arn)[2] == "kinesis"
  reading = local.kinesis ? [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
    ] : [
    "dynamodb:DescribeStream",
    "dynamodb:GetRecords",
    "dynamodb:GetShardIterator",
    "dynamodb:ListShards",
  ]
}

resource "aws_lambda_event_source_mapping" "this" {
  function_name                      = var.function.alias_arn
  event_source_arn                   = var.source_arn
  enabled                            = var.settings.enabled
  starting_position                  = var.settings.starting_position
  starting_position_timestamp        = var.settings.starting_timestamp
  batch_size                         = var.settings.batch_size
  maximum_batching_window_in_seconds = var.settings.window_seconds
  parallelization_factor             = var.settings.parallelization_factor
  maximum_retry_attempts             = var.settings.retries
  maximum_record_age_in_seconds      = var.settings.max_record_age_seconds
  bisect_batch_on_function_error     = var.settings.bisect
  tumbling_window_in_seconds         = var.settings.tumbling_seconds
  function_response_types            = ["ReportBatchItemFailures"]

  destination_config {
    on_failure {
      destination_arn = aws_sqs_queue.given_up.arn
    }
  }

  dynamic "filter_criteria" {
    for_each = length(var.settings.filters) == 0 ? [] : [var.settings.filters]
    content {
      dynamic "filter" {
        for_each = filter_criteria.value
        content {
          pattern = filter.value
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [starting_position, starting_position_timestamp] # of the first time only: a change would read the stream anew
  }

  depends_on = [aws_iam_role_policy.this] # Lambda tries it
}

resource "aws_sqs_queue" "given_up" {
  name                      = "${var.function.name}-given-up"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = var.kms_key_arn == null ? true : null
  kms_master_key_id         = var.kms_key_arn
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "ReadStream"
    actions   = local.reading
    resources = [var.source_arn]
  }

  statement {
    sid       = "GiveUp"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.given_up.arn]
  }

  dynamic "statement" {
    for_each = var.source_kms_key_arn[*]
    content {
      sid       = "ReadEncrypted"
      actions   = ["kms:Decrypt"]
      resources = [statement.value]
    }
  }

  dynamic "statement" {
    for_each = var.kms_key_arn[*]
    content {
      sid       = "GiveUpEncrypted"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = [statement.value]
    }
  }
}

resource "aws_iam_role_policy" "this" {
  name   = "stream"
  role   = var.function.role_name
  policy = data.aws_iam_policy_document.this.json
}

resource "aws_cloudwatch_metric_alarm" "iterator_age" {
  alarm_name          = "${var.function.name}-iterator-age"
  alarm_description   = "The function is behind. A batch that fails again and again holds up its shard; else it needs a higher parallelization factor, or the stream more shards."
  namespace           = "AWS/Lambda"
  metric_name         = "IteratorAge"
  dimensions          = { FunctionName = var.function.name, Resource = join(":", slice(split(":", var.function.alias_arn), 6, 8)) }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  datapoints_to_alarm = 3
  threshold           = var.iterator_age_alarm_seconds * 1000
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "given_up" {
  alarm_name          = "${var.function.name}-given-up"
  alarm_description   = local.kinesis ? "A batch was given up. Have its records handled before they expire from the stream: banyan-consume deadletters redrive --queue=${aws_sqs_queue.given_up.url}." : "A batch of a table's stream was given up; the queue has its positions. An outbox has its items still: they are relayed with the next one of their key."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.given_up.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
