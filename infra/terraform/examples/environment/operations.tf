# Operations functions. The janitor is wanted once in a region, not in each
# environment.

locals {
  far = var.queue_handler_arn != null && var.queue_elsewhere != null
  operation = {
    for function in ["janitor", "keep-warm", "stream-autoscaler"] : function => {
      package          = { zip = "${var.functions}/${function}.zip" }
      alarm_topic_arns = local.alarms
    }
  }
  packages = {
    for function in ["log-shipper", "log-subscriber", "sqsloop", "sqsloop-restart", "sqsloop-scale-down", "sqsloop-scale-up"] :
    function => { zip = "${var.functions}/${function}.zip" }
  }
}

module "janitor" {
  source = "../../modules/janitor"

  name     = "${var.name}-janitor"
  function = local.operation["janitor"]
  except   = ["legacy-*"]
  aliases  = { days = 90 }
}

# A stream whose load is known well enough to be cheaper by the shard.
module "audit_stream" {
  source = "../../modules/stream"

  name                = "${var.name}-audit"
  mode                = "PROVISIONED"
  shards              = 2
  shard_level_metrics = ["IncomingBytes", "IncomingRecords", "WriteProvisionedThroughputExceeded"]
  alarm_topic_arns    = local.alarms
}

module "stream_autoscaler" {
  source = "../../modules/stream-autoscaler"

  name     = "${var.name}-stream-autoscaler"
  function = local.operation["stream-autoscaler"]
  streams  = { audit = { name = module.audit_stream.name, arn = module.audit_stream.arn, min = 2, max = 16 } }
}

# Timelines are asked for by people, and not all the time.
module "keep_warm" {
  source = "../../modules/keep-warm"

  name     = "${var.name}-keep-warm"
  function = local.operation["keep-warm"]
  targets  = { timeline-api = { alias_arn = module.timeline_api.function.alias_arn, environments = 2 } }
}

# A queue whose messages one function at a time handles while that keeps up, and up to
# four when it does not. An event source mapping of SQS' own begins with two: where
# that will do, take it. Package sqsloop says what little else there is for loops.
resource "aws_sqs_queue" "work" {
  for_each = var.queue_handler_arn == null ? [] : toset(["work", "work-dead-letters"])

  name                       = "${var.name}-${each.key}"
  visibility_timeout_seconds = 60
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
}

# A loop writes no dead letters: SQS moves what was received too often.
resource "aws_sqs_queue_redrive_policy" "work" {
  count = var.queue_handler_arn == null ? 0 : 1

  queue_url      = aws_sqs_queue.work["work"].url
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.work["work-dead-letters"].arn, maxReceiveCount = 5 })
}

# What no mapping reads: a queue of another region. One loop is exactly one consumer.
resource "aws_sqs_queue" "far" {
  count = local.far ? 1 : 0

  region                     = var.queue_elsewhere.region
  name                       = "${var.name}-far"
  visibility_timeout_seconds = 60
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
}

module "sqs_loop" {
  source = "../../modules/sqs-loop"
  count  = var.queue_handler_arn == null ? 0 : 1

  name                 = "${var.name}-sqsloop"
  packages             = { for function, package in local.packages : function => package if startswith(function, "sqsloop") }
  function             = { alarm_topic_arns = local.alarms }
  reserved_concurrency = 6

  queues = merge({ work = {
    url               = aws_sqs_queue.work["work"].url
    arn               = aws_sqs_queue.work["work"].arn
    handler_arn       = var.queue_handler_arn
    max               = 4
    dead_letter_queue = aws_sqs_queue.work["work-dead-letters"].name
    } }, local.far ? { far = {
    url              = aws_sqs_queue.far[0].url
    arn              = aws_sqs_queue.far[0].arn
    region           = var.queue_elsewhere.region # said here: the ARN is not known yet
    handler_arn      = var.queue_handler_arn
    max              = 1
    alarm_topic_arns = var.queue_elsewhere.alarm_topic_arns
  } } : {})
}

# Of this environment. One for all of a region is without include.
module "log_shipping" {
  source = "../../modules/log-shipping"
  count  = var.opensearch == null ? 0 : 1

  name       = var.name
  packages   = { for function, package in local.packages : function => package if startswith(function, "log-") }
  function   = { alarm_topic_arns = local.alarms }
  opensearch = var.opensearch
  include    = ["/aws/lambda/${var.name}-*", "/banyan/${var.name}-*", "/aws/vendedlogs/http-api/${var.name}-*"]
}
