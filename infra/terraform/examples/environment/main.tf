# A whole environment of Banyan: the stream, the consumers with their read models,
# the entities' tables, the services, and the proxy in front. Copy it, and keep
# what you need. A later part is one file more that calls its own module.

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Environment = var.name
      ManagedBy   = "terraform"
    }
  }
}

data "aws_vpc" "this" {
  id      = var.vpc_id
  default = var.vpc_id == null ? true : null
}

data "aws_subnets" "all" {
  filter {
    name   = "vpc-id"
    values = [data.aws_vpc.this.id]
  }
}

locals {
  network = {
    vpc_id     = data.aws_vpc.this.id
    subnet_ids = coalesce(var.private_subnet_ids, data.aws_subnets.all.ids)
  }
  public_network = {
    vpc_id     = data.aws_vpc.this.id
    subnet_ids = coalesce(var.public_subnet_ids, data.aws_subnets.all.ids)
  }
  egress = {
    https   = { port = 443, cidr = "0.0.0.0/0" }
    mongodb = { port = 27017, cidr = data.aws_vpc.this.cidr_block }
  }
  image  = { for binary in ["banyan-proxy", "banyan-social", "banyan-users"] : binary => "${var.image_registry}/${binary}:${var.image_tag}" }
  alarms = [aws_sns_topic.alarms.arn]
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = module.config.kms_key_arn
}

resource "aws_sns_topic_subscription" "alarms" {
  count = var.alarm_email == null ? 0 : 1

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_email
}

module "stream" {
  source = "../../modules/stream"

  name             = "${var.name}-events"
  alarm_topic_arns = local.alarms
}

module "config" {
  source = "../../modules/config"

  prefix = "/${var.name}"
  settings = merge({ "proxy/log-level" = "info" }, {
    for entity in keys(local.entities) : "${entity}/plan" => templatefile("${path.module}/${entity}.yaml", { name = var.name })
  })
  secrets           = concat(["jwt-secret", "cohort-key", "proxy-admin-token"], local.push_secrets)
  mongodb           = { recovery_days = var.protect ? 30 : 0 }
  key_deletion_days = var.protect ? 30 : 7
  key_users         = ["cloudwatch.amazonaws.com"] # for the topic of alarms
}
