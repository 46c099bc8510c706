# Each step of a queue's alarms is one loop more while it lasts. SQS writes metrics
# in the queue's region, and alarms see those of their own region and tell topics
# there: all of this is where the queue is. SNS invokes functions of other regions.

resource "aws_sns_topic" "up" {
  for_each = var.queues

  region            = local.regions[each.key]
  name              = "${var.name}-${each.key}-up"
  kms_master_key_id = local.topic_keys[each.key]

  lifecycle {
    precondition {
      condition     = split(":", each.value.arn)[3] == local.regions[each.key]
      error_message = "The queue ${each.key} is in ${split(":", each.value.arn)[3]}, and its alarms would be in ${local.regions[each.key]}: set the queue's region to ${split(":", each.value.arn)[3]}."
    }

    precondition {
      condition     = local.regions[each.key] == data.aws_region.this.region || var.function.kms_key_arn == null || each.value.kms_key_arn != null
      error_message = "The queue ${each.key} is in ${local.regions[each.key]}, where the functions' key encrypts no topics: give the queue a kms_key_arn of its own region."
    }
  }
}

resource "aws_sns_topic" "down" {
  for_each = var.queues

  region            = local.regions[each.key]
  name              = "${var.name}-${each.key}-down"
  kms_master_key_id = local.topic_keys[each.key]
}

locals {
  # The functions' key is one of their region.
  topic_keys = { for key, queue in var.queues : key =>
  queue.kms_key_arn != null ? queue.kms_key_arn : local.regions[key] == data.aws_region.this.region ? var.function.kms_key_arn : null }

  people = { for key, queue in var.queues : key => queue.alarm_topic_arns != null ? queue.alarm_topic_arns : var.function.alarm_topic_arns }

  steps = merge([for key, queue in var.queues : {
    for step in queue.steps : "${key}-${step}" => { key = key, step = step }
  }]...)
}

resource "aws_cloudwatch_metric_alarm" "step" {
  for_each = local.steps

  region              = local.regions[each.value.key]
  alarm_name          = "scale-${var.name}-${each.key}" # a name that begins with the function's would turn its deployments back
  alarm_description   = "One loop more while ${each.value.step} messages wait in ${local.names[each.value.key]}."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = local.names[each.value.key] }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 3
  threshold           = each.value.step
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching" # an idle queue has no metrics
  alarm_actions       = [aws_sns_topic.up[each.value.key].arn]
  ok_actions          = [aws_sns_topic.down[each.value.key].arn]
}

resource "aws_cloudwatch_metric_alarm" "oldest" {
  for_each = var.queues

  region              = local.regions[each.key]
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
  alarm_actions       = local.people[each.key]
  ok_actions          = local.people[each.key]

  lifecycle {
    precondition {
      condition     = alltrue([for arn in local.people[each.key] : split(":", arn)[3] == local.regions[each.key]])
      error_message = "An alarm tells topics of its own region alone, and that on the queue ${each.key} is in ${local.regions[each.key]}: give the queue alarm_topic_arns there, or an empty list."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  for_each = { for key, queue in var.queues : key => queue.dead_letter_queue if queue.dead_letter_queue != null }

  region              = local.regions[each.key]
  alarm_name          = "${var.name}-${each.key}-dead-letters"
  alarm_description   = "SQS moved messages of ${local.names[each.key]} to its dead-letter queue."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = each.value }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.people[each.key]
  ok_actions          = local.people[each.key]
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
      condition     = alltrue([for arn in local.handlers : split(":", arn)[3] == data.aws_region.this.region])
      error_message = "A handler is in another region than the loops, which is ${data.aws_region.this.region}: Lambda invokes functions of its own region, and only queues may be elsewhere."
    }

    precondition {
      condition     = var.reserved_concurrency >= sum(values(var.queues)[*].max)
      error_message = "reserved_concurrency is ${var.reserved_concurrency}, and the queues may have ${sum(values(var.queues)[*].max)} loops: give it at least that, and a few more for turns that overlap."
    }
  }
}
