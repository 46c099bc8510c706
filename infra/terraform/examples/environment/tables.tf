# Banyan's own tables, the read models', and those of the entities.

locals {
  pk_sk = { hash_key = { name = "pk" }, range_key = { name = "sk" } }

  # Timelines are read all day, which is cheaper by capacity units, and written most
  # in the evening, before which there is room for it.
  provisioned = {
    timeline = {
      read  = { min = 50, max = 2000 }
      write = { min = 50, max = 4000 }
      peaks = {
        evening = { schedule = "cron(30 17 * * ? *)", timezone = "Europe/Berlin", read_min = 500, write_min = 1000 }
        night   = { schedule = "cron(0 23 * * ? *)", timezone = "Europe/Berlin", read_min = 50, write_min = 50 }
      }
    }
  }

  # By the entities' plans, as banyan-migrate plan --terraform prints them, and the outboxes, in which
  # the services keep events until they have published them.
  tables = merge(
    { for name in ["control", "recommendations", "timeline"] : name => local.pk_sk },
    { profile = merge(local.pk_sk, { stream = var.search == null ? null : "NEW_AND_OLD_IMAGES" }) },
    { for name in ["dead-letters", "notifications", "proxy"] : name => merge(local.pk_sk, { ttl = "expires" }) },
    { for name, entity in local.entities : name => { hash_key = { name = "id" }, indexes = entity.indexes, stream = "NEW_AND_OLD_IMAGES" } },
    { for name in flatten(values(local.entities)[*].unique) : name => { hash_key = { name = "value" } } },
    { for name in keys(local.entities) : "${name}-outbox" => local.pk_sk },
  )
}

module "table" {
  source   = "../../modules/table"
  for_each = local.tables

  name                = "${var.name}-${each.key}"
  hash_key            = each.value.hash_key
  range_key           = lookup(each.value, "range_key", null)
  indexes             = lookup(each.value, "indexes", {})
  stream_view_type    = lookup(each.value, "stream", null)
  ttl_attribute       = lookup(each.value, "ttl", null)
  provisioned         = lookup(local.provisioned, each.key, null)
  deletion_protection = var.protect
  alarm_topic_arns    = local.alarms
}

# An outbox of owners that leave publishing to the relay, which the stream of the
# table's changes wakes.
module "outbox" {
  source = "../../modules/table"

  name                = "${var.name}-outbox"
  hash_key            = local.pk_sk.hash_key
  range_key           = local.pk_sk.range_key
  stream_view_type    = "KEYS_ONLY"
  deletion_protection = var.protect
  alarm_topic_arns    = local.alarms
}
