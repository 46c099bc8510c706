# What a user makes in one apply: modules that are given what others make, of which
# a plan knows nothing yet.

terraform {
  required_version = ">= 1.8"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

resource "aws_sqs_queue" "this" {
  for_each = toset(["given-up", "work"])

  name = each.key
}

resource "aws_sqs_queue" "far" {
  region = "ap-east-1"
  name   = "far"
}

resource "aws_sns_topic" "far" {
  region = "ap-east-1"
  name   = "people"
}

resource "aws_kms_key" "far" {
  region = "ap-east-1"
}

module "config" {
  source = "../../modules/config"

  prefix  = "/together"
  mongodb = { rotation = { function_arn = module.rotation.alias_arn } }
}

module "rotation" {
  source = "../../modules/function"

  name         = "rotation"
  package      = { s3_bucket = "packages", s3_key = "rotation.zip" }
  asynchronous = { on_failure_arn = aws_sqs_queue.this["given-up"].arn }
}

module "stream" {
  source = "../../modules/stream"

  name        = "events"
  kms_key_arn = module.config.kms_key_arn
}

module "table" {
  source   = "../../modules/table"
  for_each = toset(["model", "dead-letters", "outbox"])

  name             = each.key
  indexes          = { by_author = { hash_key = { name = "author" } } }
  stream_view_type = "KEYS_ONLY"
  kms_key_arn      = module.config.kms_key_arn
}

# A function without tables, with rights and metrics of its own.
module "effects" {
  source = "../../modules/consumer"

  name              = "effects"
  package           = { s3_bucket = "packages", s3_key = "effects.zip" }
  stream_arn        = module.stream.arn
  environment       = { MAIL_QUEUE = aws_sqs_queue.this["work"].url }
  statements        = [{ sid = "Mail", actions = ["sqs:SendMessage"], resources = [aws_sqs_queue.this["work"].arn] }]
  metrics_namespace = "Shop"
  mapping           = { batch_size = 500, window_seconds = 0 } # a stream needs no window
}

module "consumer" {
  source = "../../modules/consumer"

  name               = "consumer"
  package            = { s3_bucket = "packages", s3_key = "consumer.zip" }
  stream_arn         = module.stream.arn
  stream_kms_key_arn = module.config.kms_key_arn
  tables             = { MODEL_TABLE = module.table["model"] }
  dead_letters       = module.table["dead-letters"]
}

resource "aws_lambda_layer_version" "schemas" {
  layer_name = "schemas"
  s3_bucket  = "packages"
  s3_key     = "schemas.zip"
}

module "relay" {
  source = "../../modules/outbox-relay"

  name         = "relay"
  package      = { s3_bucket = "packages", s3_key = "outbox-relay.zip" }
  outbox       = module.table["outbox"]
  stream       = module.stream
  dead_letters = module.table["dead-letters"]
  layers       = [aws_lambda_layer_version.schemas.arn]
  environment  = { SCHEMAS = "/opt/asyncapi.json" }
}

module "dashboard" {
  source = "../../modules/dashboard"

  name               = "shop"
  stream             = module.stream.name
  consumers          = [module.effects.function.name, module.consumer.function.name]
  metrics_namespaces = { effects = "Shop" }
}

module "api" {
  source = "../../modules/http-api"

  name        = "api"
  package     = { s3_bucket = "packages", s3_key = "api.zip" }
  kms_key_arn = module.config.kms_key_arn
  statements  = concat(module.stream.publishing, module.config.reading["mongodb-uri"])

  provisioned_concurrency = { min = 1, max = 2 }
}

module "loop" {
  source = "../../modules/sqs-loop"

  packages = { for function in ["sqsloop", "sqsloop-restart", "sqsloop-scale-down", "sqsloop-scale-up"] :
  function => { s3_bucket = "packages", s3_key = "${function}.zip" } }
  function             = { kms_key_arn = module.config.kms_key_arn }
  reserved_concurrency = 12

  queues = {
    work = {
      url         = aws_sqs_queue.this["work"].url
      arn         = aws_sqs_queue.this["work"].arn
      handler_arn = module.rotation.alias_arn
    }
    far = {
      url              = aws_sqs_queue.far.url
      arn              = aws_sqs_queue.far.arn
      region           = "ap-east-1"
      handler_arn      = module.rotation.alias_arn
      max              = 1
      alarm_topic_arns = [aws_sns_topic.far.arn]
      kms_key_arn      = aws_kms_key.far.arn
    }
  }
}
