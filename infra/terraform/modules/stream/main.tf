# One Kinesis stream, encrypted, with alarms for what its writers and readers feel.

resource "aws_kinesis_stream" "this" {
  name                      = var.name
  shard_count               = var.mode == "PROVISIONED" ? coalesce(var.shards, 1) : null
  retention_period          = var.retention_hours
  encryption_type           = "KMS"
  kms_key_id                = coalesce(var.kms_key_arn, "alias/aws/kinesis")
  max_record_size_in_kib    = var.max_record_size_kib
  shard_level_metrics       = var.shard_level_metrics
  enforce_consumer_deletion = true # registered readers do not keep a destroy from ending

  stream_mode_details {
    stream_mode = var.mode
  }

  lifecycle {
    ignore_changes = [shard_count] # whoever scales it decides

    precondition {
      condition     = var.mode == "PROVISIONED" || var.shards == null
      error_message = "Kinesis decides on the shards of an ON_DEMAND stream: leave shards out, or say mode = \"PROVISIONED\"."
    }
  }
}

locals {
  alarms = {
    write-throttled = {
      metric    = "WriteProvisionedThroughputExceeded"
      statistic = "Sum"
      threshold = var.write_throttles_alarm
      why       = "Publishers are refused: more shards are needed, or one key is too hot."
    }
    read-throttled = {
      metric    = "ReadProvisionedThroughputExceeded"
      statistic = "Sum"
      threshold = 100
      why       = "Consumers get in each other's way: use enhanced fan-out, or fewer of them."
    }
    expiring = {
      metric    = "GetRecords.IteratorAgeMilliseconds"
      statistic = "Maximum"
      threshold = var.retention_hours * 3600 * 1000 / 2
      why       = "Somebody reads records that are half as old as they can get. At the whole age they are lost."
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-stream-${each.key}"
  alarm_description   = each.value.why
  namespace           = "AWS/Kinesis"
  metric_name         = each.value.metric
  dimensions          = { StreamName = aws_kinesis_stream.this.name }
  statistic           = each.value.statistic
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
