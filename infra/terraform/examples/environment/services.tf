# The extracted services: timelines as a function behind an HTTP API, the owners of
# entities as containers behind an internal balancer. The proxy is behind the public one.

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

locals {
  cluster = { arn = aws_ecs_cluster.this.arn, name = aws_ecs_cluster.this.name }
}

module "internal" {
  source = "../../modules/balancer"

  name                = "${var.name}-internal"
  network             = local.network
  allowed_cidrs       = [data.aws_vpc.this.cidr_block]
  deletion_protection = var.protect
}

module "public" {
  source = "../../modules/balancer"

  name                = "${var.name}-public"
  internal            = false
  network             = local.public_network
  certificate_arn     = var.certificate_arn
  allowed_cidrs       = ["0.0.0.0/0"]
  deletion_protection = var.protect
}

# The timeline, as a function: nobody reads it at night. Where it is busy all day, a
# container costs less: module container, as the owners of entities have it below, with
# the binary banyan-timeline, which takes the same settings.
module "timeline_api" {
  source = "../../modules/http-api"

  name             = "${var.name}-timeline-api"
  description      = "Timelines, from their read model."
  package          = { zip = "${var.functions}/timeline-api.zip" }
  routes           = ["GET /v1/timelines/{userId}"]
  throttling       = { rate = 500, burst = 250 }
  memory_mib       = 256
  alarm_topic_arns = local.alarms

  environment = {
    TIMELINE_TABLE    = module.table["timeline"].name
    BANYAN_JWT_SECRET = module.config.references["jwt-secret"]
  }

  statements = concat([{
    sid       = "ReadModel"
    actions   = ["dynamodb:BatchGetItem", "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:Query"]
    resources = [module.table["timeline"].arn]
  }], module.config.reading["jwt-secret"])
}

# The owners of entities: the tables by the entity's plan (<entity>.yaml), and what serves it.
locals {
  entities = {
    users = {
      binary    = "banyan-users"
      arguments = []
      priority  = 20
      indexes   = {}
      unique    = ["users-unique"]
    }
    relationships = {
      binary    = "banyan-social"
      arguments = ["--service=relationships"]
      priority  = 30
      unique    = []
      indexes = {
        following = { hash_key = { name = "follower" }, range_key = { name = "followee" } }
        followers = { hash_key = { name = "followee" }, range_key = { name = "follower" } }
      }
    }
    posts = {
      binary    = "banyan-social"
      arguments = ["--service=posts"]
      priority  = 40
      unique    = []
      indexes   = { author = { hash_key = { name = "author" }, range_key = { name = "id" } } }
    }
  }
}

# Servers: a change of owner waits for the lease of a function that sleeps. Once nothing is to be
# migrated, banyan-social can be a function as the timeline is, with one server beside it.
module "entity_service" {
  source   = "../../modules/container"
  for_each = local.entities

  name              = "${var.name}-${each.key}"
  cluster           = local.cluster
  network           = local.network
  image             = local.image[each.value.binary]
  command           = concat(["--listen=0.0.0.0:8081", "--admin-listen=0.0.0.0:8082"], each.value.arguments)
  port              = 8081
  admin_port        = 8082
  listener          = { arn = module.internal.listener_arn, security_group_id = module.internal.security_group_id, priority = each.value.priority, paths = ["/v1/${each.key}", "/v1/${each.key}/*"] }
  egress            = local.egress
  wait_until_stable = var.wait_until_stable
  alarm_topic_arns  = local.alarms

  environment = {
    BANYAN_CONTROL_TABLE = module.table["control"].name
    BANYAN_PLAN          = module.config.references["${each.key}/plan"] # the one that banyan-migrate is given
    EVENTS_STREAM        = module.stream.name
    MONGODB_URI          = module.config.references["mongodb-uri"] # a rotated one is taken up without a restart
  }

  statements = concat([for statement in [
    {
      sid       = "Ownership"
      actions   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
      resources = [module.table["control"].arn]
    },
    {
      sid = "Documents"
      actions = [
        "dynamodb:BatchGetItem",
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
      ]
      resources = [module.table[each.key].arn]
    },
    {
      sid       = "Indexes"
      actions   = ["dynamodb:Query"]
      resources = [for index in keys(each.value.indexes) : "${module.table[each.key].arn}/index/${index}"]
    },
    {
      sid       = "Unique"
      actions   = ["dynamodb:BatchGetItem", "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem"]
      resources = [for table in each.value.unique : module.table[table].arn]
    },
    {
      sid = "Outbox"
      actions = [
        "dynamodb:BatchWriteItem",
        "dynamodb:DescribeTable",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
      ]
      resources = [module.table["${each.key}-outbox"].arn]
    },
  ] : statement if length(statement.resources) > 0], module.stream.publishing, module.config.reading["mongodb-uri"], module.config.reading["${each.key}/plan"])
}

module "proxy" {
  source = "../../modules/proxy"

  name              = "${var.name}-proxy"
  cluster           = local.cluster
  network           = local.network
  image             = local.image["banyan-proxy"]
  table             = { name = module.table["proxy"].name, arn = module.table["proxy"].arn }
  routes            = { parameter = "/${var.name}/proxy/routes", content = file("${path.module}/routes.yaml") }
  listener          = { arn = module.public.listener_arn, security_group_id = module.public.security_group_id }
  wait_until_stable = var.wait_until_stable
  alarm_topic_arns  = local.alarms

  environment = {
    MONOLITH_URL = var.monolith_url
    USERS_URL    = module.internal.url
    TIMELINE_URL = module.timeline_api.url
  }
  secrets = {
    BANYAN_JWT_SECRET        = module.config.parameter_arns["jwt-secret"]
    BANYAN_COHORT_KEY        = module.config.parameter_arns["cohort-key"]
    BANYAN_PROXY_ADMIN_TOKEN = module.config.parameter_arns["proxy-admin-token"]
  }
  secrets_kms_key_arns = [module.config.kms_key_arn]

  egress = {
    https    = { port = 443, cidr = "0.0.0.0/0" }
    services = { port = 80, cidr = data.aws_vpc.this.cidr_block }
  }
}
