# The autoscaler of provisioned streams. Its table remembers what it did, for
# cool-downs and for the scalings that the API allows a day.

module "table" {
  source = "../table"

  name                   = "${var.name}-state"
  hash_key               = { name = "stream" }
  point_in_time_recovery = false # without the table it begins anew
  deletion_protection    = var.deletion_protection
  kms_key_arn            = var.function.kms_key_arn
  alarm_topic_arns       = var.function.alarm_topic_arns
}

module "operation" {
  source = "../operation"

  name            = var.name
  description     = "Keeps the shards of streams to what their load needs."
  function        = var.function
  timeout_seconds = 60
  schedules       = { look = { expression = "rate(1 minute)" } }
  topic_arns      = var.topic_arns
  asynchronous    = { retries = 0, max_age_seconds = 60 } # the next minute looks anew

  environment = {
    AUTOSCALE_STREAMS = jsonencode([for stream in values(var.streams) : { stream = stream.name, min = stream.min, max = stream.max }])
    AUTOSCALE_TABLE   = module.table.name
    AUTOSCALE_DRY_RUN = tostring(var.dry_run)
  }

  statements = concat([
    {
      sid = "Streams"
      actions = [
        "kinesis:DescribeStreamSummary",
        "kinesis:ListShards",
        "kinesis:MergeShards",
        "kinesis:SplitShard",
        "kinesis:UpdateShardCount",
      ]
      resources = [for stream in values(var.streams) : stream.arn]
    },
    {
      sid       = "Figures"
      actions   = ["cloudwatch:GetMetricData"]
      resources = ["*"]
      because   = "AWS knows no resource for it."
    },
    {
      sid       = "State"
      actions   = ["dynamodb:GetItem", "dynamodb:PutItem"]
      resources = [module.table.arn]
    },
  ], [for key in var.function.kms_key_arn[*] : { sid = "Encrypted", actions = ["kms:Decrypt"], resources = [key] }])

  metric_alarms = merge([for key, stream in var.streams : {
    "${key}-at-limit"        = { metric = "AtLimit", dimensions = { Stream = stream.name }, why = "The load needs more shards than max." }
    "${key}-hot-key"         = { metric = "HotKey", dimensions = { Stream = stream.name }, why = "One key takes more than a shard: no number of shards helps." }
    "${key}-metrics-missing" = { metric = "MetricsMissing", dimensions = { Stream = stream.name }, statistic = "Minimum", periods = 3, why = "The stream's figures are missing for a quarter of an hour: it is not scaled." }
    "${key}-failures"        = { metric = "Failures", dimensions = { Stream = stream.name }, threshold = 3, why = "Scaling fails." }
  }]...)
}
