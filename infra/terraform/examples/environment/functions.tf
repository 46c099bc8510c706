# The functions: consumers, and the relay of an outbox.

module "profile" {
  source = "../../modules/consumer"

  name             = "${var.name}-profile"
  description      = "Profiles and their counters."
  package          = { zip = "${var.functions}/profile.zip" }
  stream_arn       = module.stream.arn
  tables           = { PROFILE_TABLE = module.table["profile"] }
  dead_letters     = module.table["dead-letters"]
  alarm_topic_arns = local.alarms
}

module "timeline" {
  source = "../../modules/consumer"

  name             = "${var.name}-timeline"
  description      = "Timelines, by fan-out on write; celebrities are mixed in when read."
  package          = { zip = "${var.functions}/timeline.zip" }
  stream_arn       = module.stream.arn
  tables           = { TIMELINE_TABLE = module.table["timeline"] }
  dead_letters     = module.table["dead-letters"]
  memory_mib       = 1024
  environment      = { CONCURRENCY = "64", TIMELINE_QUEUE_URL = aws_sqs_queue.fan_out[local.fan_out].url }
  alarm_topic_arns = local.alarms

  statements = [{
    sid       = "FanOut"
    actions   = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage", "sqs:SendMessage"]
    resources = [aws_sqs_queue.fan_out[local.fan_out].arn]
  }]

  # Fan-out is the heaviest work: larger batches, and four of them at once for each
  # shard. A key's events stay in order.
  mapping = {
    batch_size             = 500
    window_seconds         = 1
    parallelization_factor = 4
  }

  # A peak known beforehand: every evening, there are instances before the load is.
  provisioned_concurrency = {
    min = 1
    max = 10
    peaks = {
      evening = { schedule = "cron(30 17 * * ? *)", timezone = "Europe/Berlin", min = 4, max = 20 }
      night   = { schedule = "cron(0 23 * * ? *)", timezone = "Europe/Berlin", min = 1, max = 10 }
    }
  }
}

# For owners that leave publishing to it. The services publish by themselves and
# sweep their own outboxes: with a relay there, each of its events would go out twice.
module "outbox_relay" {
  source = "../../modules/outbox-relay"

  name             = "${var.name}-outbox-relay"
  package          = { zip = "${var.functions}/outbox-relay.zip" }
  outbox           = module.outbox
  stream           = module.stream
  dead_letters     = module.table["dead-letters"]
  alarm_topic_arns = local.alarms
}
