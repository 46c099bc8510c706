# Functions that poll queues by invoking themselves. An event source mapping of
# SQS's own is nearly always the better choice: package sqsloop says when it is not.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  names   = { for key, queue in var.queues : key => split(":", queue.arn)[5] }
  regions = { for key, queue in var.queues : key => queue.region != null ? queue.region : data.aws_region.this.region }

  # Said, not asked for: the function's own rights name it.
  alias      = "arn:${data.aws_partition.this.partition}:lambda:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}:function:${var.name}:live"
  handlers   = [for queue in values(var.queues) : queue.handler_arn]
  encrypted  = [for key in var.function.kms_key_arn[*] : { sid = "Encrypted", actions = ["kms:Decrypt"], resources = [key] }]
  queue_keys = distinct([for queue in values(var.queues) : queue.kms_key_arn if queue.kms_key_arn != null])
  invoke     = [{ sid = "Loop", actions = ["lambda:InvokeFunction"], resources = [local.alias] }]

  environment = {
    LOOP_QUEUES = jsonencode([for queue in values(var.queues) : {
      for name, value in {
        queue              = queue.url
        handler            = queue.handler_arn
        min                = queue.min
        max                = queue.max
        visibility_seconds = queue.visibility_seconds
      } : name => value if value != null
    }])
    LOOP_TABLE = module.table.name
  }

  steering = {
    scale-up   = { seconds = 30, asynchronous = { retries = 2, max_age_seconds = 3600 }, invokes = true, table = ["dynamodb:PutItem", "dynamodb:UpdateItem"], topics = { for key, topic in aws_sns_topic.up : "raised-${key}" => topic.arn }, schedules = {} }
    scale-down = { seconds = 30, asynchronous = { retries = 2, max_age_seconds = 3600 }, invokes = false, table = ["dynamodb:DeleteItem", "dynamodb:Query", "dynamodb:UpdateItem"], topics = { for key, topic in aws_sns_topic.down : "over-${key}" => topic.arn }, schedules = {} }
    restart    = { seconds = 60, asynchronous = { retries = 0, max_age_seconds = 60 }, invokes = true, table = ["dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], topics = {}, schedules = { look = { expression = "rate(1 minute)" } } }
  }
}

module "table" {
  source = "../table"

  name                   = "${var.name}-loops"
  hash_key               = { name = "queue" }
  range_key              = { name = "token" }
  point_in_time_recovery = false # without the table the restart function begins anew
  deletion_protection    = false
  kms_key_arn            = var.function.kms_key_arn
  alarm_topic_arns       = var.function.alarm_topic_arns
}

module "operation" {
  source = "../operation"

  name                 = var.name
  description          = "Polls queues, and invokes itself."
  function             = merge(var.function, { package = var.packages["sqsloop"] })
  timeout_seconds      = 300
  reserved_concurrency = var.reserved_concurrency
  environment          = local.environment
  asynchronous         = { retries = 0, max_age_seconds = 60 }

  statements = concat(local.invoke, [
    {
      sid       = "Poll"
      actions   = ["sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:ReceiveMessage"]
      resources = [for queue in values(var.queues) : queue.arn]
    },
    {
      sid       = "Token"
      actions   = ["dynamodb:UpdateItem"]
      resources = [module.table.arn]
    },
    ],
    length(local.queue_keys) == 0 ? [] : [{ sid = "EncryptedQueues", actions = ["kms:Decrypt"], resources = local.queue_keys }],
    [{ sid = "Handle", actions = ["lambda:InvokeFunction"], resources = local.handlers }],
    local.encrypted,
  )

  metric_alarms = merge([for key, queue in var.queues : {
    "${key}-restarts" = { metric = "LoopsRestarted", dimensions = { Queue = local.names[key] }, seconds = 600, periods = 3, why = "Loops die and are restarted again and again: a handler may kill them." }
    "${key}-problems" = { metric = "Problems", dimensions = { Queue = local.names[key] }, threshold = 5, why = "Loops have trouble: see their logs." }
  }]...)
}

resource "aws_lambda_function_recursion_config" "this" {
  count = var.allow_recursion ? 1 : 0

  function_name  = module.operation.function.name
  recursive_loop = "Allow"
}

module "steering" {
  source   = "../operation"
  for_each = local.steering

  name            = "${var.name}-${each.key}"
  description     = "Steers the loops of ${var.name}: ${each.key}."
  function        = merge(var.function, { package = var.packages["sqsloop-${each.key}"] })
  timeout_seconds = each.value.seconds
  environment     = merge(local.environment, { LOOP_FUNCTION = module.operation.function.alias_arn })
  asynchronous    = each.value.asynchronous
  topic_arns      = each.value.topics
  topic_regions   = merge([for key, region in local.regions : { "raised-${key}" = region, "over-${key}" = region }]...)
  schedules       = each.value.schedules

  statements = concat(
    [{ sid = "Tokens", actions = each.value.table, resources = [module.table.arn] }],
    each.value.invokes ? local.invoke : [],
    local.encrypted,
  )
}
