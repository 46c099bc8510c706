# Banyan's own tables, the read models', and those of the entity users.

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

  tables = {
    control      = local.pk_sk
    dead-letters = local.pk_sk
    profile      = local.pk_sk
    timeline     = local.pk_sk
    users        = { hash_key = { name = "id" }, range_key = null }
    users-unique = { hash_key = { name = "value" }, range_key = null }
  }
}

module "table" {
  source   = "../../modules/table"
  for_each = local.tables

  name                = "${var.name}-${each.key}"
  hash_key            = each.value.hash_key
  range_key           = each.value.range_key
  provisioned         = lookup(local.provisioned, each.key, null)
  deletion_protection = var.protect
  alarm_topic_arns    = local.alarms
}

# What the users service keeps until it has published it.
module "users_outbox" {
  source = "../../modules/table"

  name                = "${var.name}-users-outbox"
  hash_key            = local.pk_sk.hash_key
  range_key           = local.pk_sk.range_key
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
