# What is left of a timeline's fan-out after a page of followers goes to a queue, which
# the same function reads: neither the shard nor other authors wait for it.

locals {
  fan_out = "${var.name}-timeline-fan-out"
}

resource "aws_sqs_queue" "fan_out" {
  for_each = toset([local.fan_out, "${local.fan_out}-dead-letters"])

  name                       = each.key
  visibility_timeout_seconds = 360 # six times the function's timeout
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
}

# The next post of an author resumes marks that are incomplete; entries are resumed by
# moving the messages back.
resource "aws_sqs_queue_redrive_policy" "fan_out" {
  queue_url      = aws_sqs_queue.fan_out[local.fan_out].url
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.fan_out["${local.fan_out}-dead-letters"].arn, maxReceiveCount = 10 })
}

resource "aws_lambda_event_source_mapping" "fan_out" {
  function_name           = module.timeline.function.alias_arn
  event_source_arn        = aws_sqs_queue.fan_out[local.fan_out].arn
  batch_size              = 2 # pages of 500 followers, at the same time
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 10 # what the table is asked for at most
  }
}

resource "aws_cloudwatch_metric_alarm" "fan_out" {
  alarm_name          = "${local.fan_out}-dead-letters"
  alarm_description   = "Fan-outs of timelines were given up. When the cause is gone, move the messages back (sqs start-message-move-task)."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.fan_out["${local.fan_out}-dead-letters"].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
  ok_actions          = local.alarms
}
