# What the read models are used for besides timelines: recommendations; and, where they are
# given what these need, notifications and search.

module "recommendations" {
  source = "../../modules/consumer"

  name             = "${var.name}-recommendations"
  description      = "Whom users may want to follow."
  package          = { zip = "${var.functions}/recommendations.zip" }
  stream_arn       = module.stream.arn
  tables           = { RECOMMENDATIONS_TABLE = module.table["recommendations"] }
  dead_letters     = module.table["dead-letters"]
  alarm_topic_arns = local.alarms
}

module "recommend_sweep" {
  source = "../../modules/operation"

  name            = "${var.name}-recommend-sweep"
  description     = "Derives the recommendations of users who are due."
  function        = { package = { zip = "${var.functions}/recommend-sweep.zip" }, alarm_topic_arns = local.alarms }
  timeout_seconds = 60
  memory_mib      = 512
  environment     = { RECOMMEND_TABLE = module.table["recommendations"].name }
  asynchronous    = { retries = 0, max_age_seconds = 60 } # the next minute does it, too
  schedules       = { minute = { expression = "rate(1 minute)" } }

  statements = [{
    sid = "ReadModel"
    actions = [
      "dynamodb:BatchGetItem",
      "dynamodb:ConditionCheckItem",
      "dynamodb:DeleteItem",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
    resources = [module.table["recommendations"].arn]
  }]
}

module "recommendations_api" {
  source = "../../modules/http-api"

  name             = "${var.name}-recommendations-api"
  description      = "Whom users may want to follow, from the read model."
  package          = { zip = "${var.functions}/recommendations-api.zip" }
  routes           = ["GET /v1/recommendations/{userId}"]
  memory_mib       = 256
  alarm_topic_arns = local.alarms

  environment = {
    RECOMMENDATIONS_TABLE = module.table["recommendations"].name
    BANYAN_JWT_SECRET     = module.config.references["jwt-secret"]
  }

  statements = concat([{
    sid       = "ReadModel"
    actions   = ["dynamodb:GetItem", "dynamodb:PutItem"] # to make old lists due
    resources = [module.table["recommendations"].arn]
  }], module.config.reading["jwt-secret"])
}

# By push, to all that the template names. Put the three secrets before the first event. With mails
# both functions have SES_FROM and ses:SendEmail, and notify-due the topic of bounces in its topic_arns:
# see package consumers/notify/setup.
locals {
  push_secrets = var.push == null ? [] : ["apns-key", "fcm-credentials", "vapid-key"]
  push = var.push == null ? {} : {
    APNS_KEY        = module.config.references["apns-key"]
    APNS_KEY_ID     = var.push.apns.key_id
    APNS_TEAM_ID    = var.push.apns.team_id
    APNS_TOPIC      = var.push.apns.topic
    FCM_CREDENTIALS = module.config.references["fcm-credentials"]
    VAPID_KEY       = module.config.references["vapid-key"]
    VAPID_SUBJECT   = var.push.vapid_subject
  }
  keys = flatten([for name in local.push_secrets : module.config.reading[name]])
}

module "notifications" {
  source = "../../modules/consumer"
  count  = var.push == null ? 0 : 1

  name             = "${var.name}-notifications"
  description      = "Notifies users of who follows them."
  package          = { zip = "${var.functions}/notifications.zip" }
  stream_arn       = module.stream.arn
  tables           = { NOTIFICATIONS_TABLE = module.table["notifications"] }
  dead_letters     = module.table["dead-letters"]
  environment      = local.push
  statements       = local.keys
  alarm_topic_arns = local.alarms
}

module "notify_due" {
  source = "../../modules/operation"
  count  = var.push == null ? 0 : 1

  name            = "${var.name}-notify-due"
  description     = "Sends notifications that were deferred."
  function        = { package = { zip = "${var.functions}/notify-due.zip" }, alarm_topic_arns = local.alarms }
  timeout_seconds = 60
  memory_mib      = 256
  environment     = merge({ NOTIFICATIONS_TABLE = module.table["notifications"].name }, local.push)
  asynchronous    = { retries = 2, max_age_seconds = 3600 }
  schedules       = { minute = { expression = "rate(1 minute)" } }

  statements = concat([{
    sid       = "Notifications"
    actions   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
    resources = [module.table["notifications"].arn]
  }], local.keys)
}

# Users by name. Once the indexer is there: banyan-search rebuild, with the same variables.
module "search_indexer" {
  source = "../../modules/function"
  count  = var.search == null ? 0 : 1

  name             = "${var.name}-search-indexer"
  description      = "Brings changes of profiles to the search index."
  package          = { zip = "${var.functions}/search-indexer.zip" }
  timeout_seconds  = 120 # a request to OpenSearch has 30 s
  memory_mib       = 256
  alarm_topic_arns = local.alarms

  environment = {
    OPENSEARCH_URL = var.search.url
    SEARCH_TABLE   = module.table["profile"].name
    SEARCH_PREFIX  = "user#"
    SEARCH_SORT    = "profile"
    SEARCH_TEXT    = "name"
    SEARCH_RANK    = "followers"
    SEARCH_GONE    = "left"
    SEARCH_SHOW    = "name,followers"
  }

  statements = [
    { sid = "Write", actions = ["es:ESHttpPost"], resources = ["${var.search.arn}/_bulk"] },
    { sid = "Indexes", actions = ["es:ESHttpGet"], resources = ["${var.search.arn}/_alias/*"] }, # those that are being built
  ]
}

module "search_mapping" {
  source = "../../modules/mapping"
  count  = var.search == null ? 0 : 1

  function         = { name = module.search_indexer[0].name, alias_arn = module.search_indexer[0].alias_arn, role_name = module.search_indexer[0].role_name }
  source_arn       = module.table["profile"].stream_arn
  alarm_topic_arns = local.alarms
}

module "search_api" {
  source = "../../modules/http-api"
  count  = var.search == null ? 0 : 1

  name             = "${var.name}-search-api"
  description      = "Users by name."
  package          = { zip = "${var.functions}/search-api.zip" }
  routes           = ["GET /v1/search"]
  memory_mib       = 256
  alarm_topic_arns = local.alarms

  environment = {
    OPENSEARCH_URL    = var.search.url
    BANYAN_JWT_SECRET = module.config.references["jwt-secret"]
  }

  statements = concat([{
    sid       = "Search"
    actions   = ["es:ESHttpPost"]
    resources = ["${var.search.arn}/_msearch"]
  }], module.config.reading["jwt-secret"])
}
