# The extracted services: timelines as a function behind an HTTP API, users as
# containers behind an internal balancer. The proxy is behind the public one.

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
# container costs less: module container, as the users service has it below, with
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

module "users_service" {
  source = "../../modules/container"

  name              = "${var.name}-users"
  cluster           = local.cluster
  network           = local.network
  image             = local.image["banyan-users"]
  port              = 8081
  admin_port        = 8082
  listener          = { arn = module.internal.listener_arn, security_group_id = module.internal.security_group_id, priority = 20, paths = ["/v1/users", "/v1/users/*"] }
  egress            = local.egress
  wait_until_stable = var.wait_until_stable
  alarm_topic_arns  = local.alarms

  environment = {
    USERS_LISTEN         = "0.0.0.0:8081"
    USERS_ADMIN_LISTEN   = "0.0.0.0:8082"
    BANYAN_CONTROL_TABLE = module.table["control"].name
    USERS_TABLE          = module.table["users"].name
    USERS_UNIQUE_TABLE   = module.table["users-unique"].name
    USERS_OUTBOX_TABLE   = module.users_outbox.name
    EVENTS_STREAM        = module.stream.name
    MONGODB_URI          = module.config.references["mongodb-uri"] # a rotated one is taken up without a restart
  }

  statements = concat([
    {
      sid       = "Ownership"
      actions   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
      resources = [module.table["control"].arn]
    },
    {
      sid = "Users"
      actions = [
        "dynamodb:BatchGetItem",
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
      ]
      resources = [module.table["users"].arn, module.table["users-unique"].arn]
    },
    {
      sid = "Outbox"
      actions = [
        "dynamodb:BatchWriteItem",
        "dynamodb:DeleteItem",
        "dynamodb:DescribeTable",
        "dynamodb:PutItem",
        "dynamodb:Query",
        "dynamodb:Scan",
        "dynamodb:UpdateItem",
      ]
      resources = [module.users_outbox.arn]
    },
  ], module.stream.publishing, module.config.reading["mongodb-uri"])
}

module "proxy" {
  source = "../../modules/proxy"

  name              = "${var.name}-proxy"
  cluster           = local.cluster
  network           = local.network
  image             = local.image["banyan-proxy"]
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
    BANYAN_JWT_SECRET = module.config.parameter_arns["jwt-secret"]
    BANYAN_COHORT_KEY = module.config.parameter_arns["cohort-key"]
  }
  secrets_kms_key_arns = [module.config.kms_key_arn]

  egress = {
    https    = { port = 443, cidr = "0.0.0.0/0" }
    services = { port = 80, cidr = data.aws_vpc.this.cidr_block }
  }
}
