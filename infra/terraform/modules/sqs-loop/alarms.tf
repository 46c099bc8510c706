# Each step of a queue's alarms is one loop more while it lasts.

resource "aws_sns_topic" "up" {
  name              = "${var.name}-up"
  kms_master_key_id = var.function.kms_key_arn
}

resource "aws_sns_topic" "down" {
  name              = "${var.name}-down"
  kms_master_key_id = var.function.kms_key_arn
}

locals {
  steps = merge([for key, queue in var.queues : {
    for step in queue.steps : "${key}-${step}" => { queue = local.names[key], step = step }
  }]...)
}

resource "aws_cloudwatch_metric_alarm" "step" {
  for_each = local.steps

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "One loop more while ${each.value.step} messages wait in ${each.value.queue}."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 3
  threshold           = each.value.step
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching" # an idle queue has no metrics
  alarm_actions       = [aws_sns_topic.up.arn]
  ok_actions          = [aws_sns_topic.down.arn]
}

resource "aws_cloudwatch_metric_alarm" "oldest" {
  for_each = var.queues

  alarm_name          = "${var.name}-${each.key}-oldest"
  alarm_description   = "Messages wait for too long."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = local.names[each.key] }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = each.value.oldest_seconds
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "recursion" {
  alarm_name          = "${var.name}-recursion-dropped"
  alarm_description   = "Lambda takes the loops for a mistake and ends them: recursion is not allowed for this function."
  namespace           = "AWS/Lambda"
  metric_name         = "RecursiveInvocationsDropped"
  dimensions          = { FunctionName = var.name }
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.function.alarm_topic_arns
  ok_actions          = var.function.alarm_topic_arns

  lifecycle {
    precondition {
      condition     = var.reserved_concurrency >= sum(values(var.queues)[*].max)
      error_message = "reserved_concurrency is ${var.reserved_concurrency}, and the queues may have ${sum(values(var.queues)[*].max)} loops: give it at least that, and a few more for turns that overlap."
    }
  }
}
