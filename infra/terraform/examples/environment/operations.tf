# The operations functions. The janitor is wanted once in a region, not in each
# environment; the autoscaler and the loops have something to do where there are
# provisioned streams, and queues that Lambda's own mapping cannot read.

locals {
  operation = {
    for function in ["janitor", "sqsloop", "sqsloop-restart", "sqsloop-scale-down", "sqsloop-scale-up", "stream-autoscaler"] : function => {
      package          = { zip = "${var.functions}/${function}.zip" }
      alarm_topic_arns = local.alarms
    }
  }
}

module "janitor" {
  source = "../../modules/janitor"

  name     = "${var.name}-janitor"
  function = local.operation["janitor"]
  except   = ["legacy-*"]
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
