# Operations functions. The janitor is wanted once in a region, not in each
# environment, and so is log-shipping, which needs an OpenSearch domain; keep-warm
# and sqs-loop are for functions and queues that this environment has none of.

locals {
  operation = {
    for function in ["janitor", "stream-autoscaler"] : function => {
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
