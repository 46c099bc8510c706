# The tables of the entity orders. Made by banyan-migrate plan --terraform; name a commit in source.
variable "alarm_topic_arns" {
  description = "SNS topics that the tables' alarms tell."
  type        = list(string)
  default     = []
}

module "table_orders" {
  source           = "git::https://github.com/banyan-fig/banyan.git//infra/terraform/modules/table"
  name             = "orders"
  hash_key         = { name = "id", type = "S" }
  stream_view_type = "NEW_AND_OLD_IMAGES"
  warm_throughput  = { write = 20000 }
  alarm_topic_arns = var.alarm_topic_arns
  # Once banyan-migrate complete has run, not before: ttl_attribute = "expires"

  indexes = {
    "by-tenant" = {
      hash_key  = { name = "tenant", type = "S" }
      range_key = { name = "placedAt", type = "S" }
    }
    "by-status" = {
      hash_key  = { name = "status", type = "S" }
      projected = ["total", "odd$${x}\"name"]
    }
    "by-seq" = {
      hash_key  = { name = "seq", type = "N" }
      range_key = { name = "id", type = "S" }
      projected = []
    }
    "by-both" = {
      hash_key  = { name = "tenantStatus", type = "S" }
      range_key = { name = "placedAt", type = "S" }
    }
  }
}

module "table_orders-number" {
  source           = "git::https://github.com/banyan-fig/banyan.git//infra/terraform/modules/table"
  name             = "orders-number"
  hash_key         = { name = "value", type = "S" }
  warm_throughput  = { write = 20000 }
  alarm_topic_arns = var.alarm_topic_arns
}
