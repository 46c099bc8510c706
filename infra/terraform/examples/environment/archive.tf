# Every event, for ever, in a bucket; and, where there are schemas, rows of each object for a
# data warehouse, in another one.

locals {
  buckets   = toset(concat(["archive"], local.warehouse[*]))
  warehouse = var.schemas == null ? null : "warehouse"
  archived  = "${module.stream.name}/events/"
  rows      = "${var.name}-warehouse"
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_18:Whoever may read it is in CloudTrail's data events, if the account has these.
  #checkov:skip=CKV_AWS_144:What is in another region is for the account to say.
  #checkov:skip=CKV2_AWS_62:The rows' bucket has nobody to tell.
  for_each = local.buckets

  bucket_prefix = "${var.name}-${each.key}-"
  force_destroy = !var.protect
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each = local.buckets

  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    status = "Enabled"
  }
}

# With AWS's key. Readers of another account need a key of yours, and the functions the right to it.
resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}

# What is written again is the same, so older versions are of use to whoever looks for what was altered.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.buckets

  bucket = aws_s3_bucket.this[each.key].id

  rule {
    id     = "all"
    status = "Enabled"

    filter {}

    transition {
      days          = 30
      storage_class = "INTELLIGENT_TIERING"
    }

    noncurrent_version_expiration {
      noncurrent_days = 90
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

module "archive" {
  source = "../../modules/consumer"

  name             = "${var.name}-archive"
  description      = "Archives every event."
  package          = { zip = "${var.functions}/archive.zip" }
  stream_arn       = module.stream.arn
  environment      = { ARCHIVE = "s3://${aws_s3_bucket.this["archive"].id}" }
  statements       = [{ sid = "Archive", actions = ["s3:PutObject"], resources = ["${aws_s3_bucket.this["archive"].arn}/${local.archived}*"] }]
  mapping          = { batch_size = 10000, window_seconds = 60 } # large objects
  alarm_topic_arns = local.alarms

  iterator_age_alarm_seconds = 600
}

resource "aws_lambda_layer_version" "schemas" {
  count = var.schemas == null ? 0 : 1

  layer_name       = "${var.name}-schemas"
  description      = "asyncapi.json, of the types of events."
  filename         = var.schemas
  source_code_hash = filebase64sha256(var.schemas)
}

module "warehouse" {
  source = "../../modules/function"
  count  = var.schemas == null ? 0 : 1

  name             = local.rows
  description      = "Makes rows of what is archived."
  package          = { zip = "${var.functions}/warehouse.zip" }
  layers           = [aws_lambda_layer_version.schemas[0].arn]
  timeout_seconds  = 60
  alarm_topic_arns = local.alarms

  environment = {
    ARCHIVE   = "s3://${aws_s3_bucket.this["archive"].id}/${module.stream.name}"
    WAREHOUSE = "s3://${aws_s3_bucket.this["warehouse"].id}"
    SCHEMAS   = "/opt/asyncapi.json"
  }

  statements = [
    { sid = "Archive", actions = ["s3:GetObject"], resources = ["${aws_s3_bucket.this["archive"].arn}/${local.archived}*"] },
    { sid = "Rows", actions = ["s3:PutObject"], resources = ["${aws_s3_bucket.this["warehouse"].arn}/*"] },
    { sid = "Queue", actions = ["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"], resources = [aws_sqs_queue.rows[local.rows].arn] },
  ]
}

resource "aws_sqs_queue" "rows" {
  for_each = toset(var.schemas == null ? [] : [local.rows, "${local.rows}-dead-letters"])

  name                       = each.key
  visibility_timeout_seconds = 360 # six times the function's timeout
  message_retention_seconds  = 1209600
  sqs_managed_sse_enabled    = true
}

resource "aws_sqs_queue_redrive_policy" "rows" {
  count = var.schemas == null ? 0 : 1

  queue_url      = aws_sqs_queue.rows[local.rows].url
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.rows["${local.rows}-dead-letters"].arn, maxReceiveCount = 10 })
}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "rows" {
  count = var.schemas == null ? 0 : 1

  statement {
    sid       = "Archived"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.rows[local.rows].arn]

    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [aws_s3_bucket.this["archive"].arn]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_sqs_queue_policy" "rows" {
  count = var.schemas == null ? 0 : 1

  queue_url = aws_sqs_queue.rows[local.rows].url
  policy    = data.aws_iam_policy_document.rows[0].json
}

resource "aws_s3_bucket_notification" "rows" {
  count = var.schemas == null ? 0 : 1

  bucket = aws_s3_bucket.this["archive"].id

  queue {
    queue_arn     = aws_sqs_queue.rows[local.rows].arn
    events        = ["s3:ObjectCreated:*"]
    filter_prefix = local.archived
  }

  depends_on = [aws_sqs_queue_policy.rows] # S3 tries it
}

resource "aws_lambda_event_source_mapping" "rows" {
  count = var.schemas == null ? 0 : 1

  function_name           = module.warehouse[0].alias_arn
  event_source_arn        = aws_sqs_queue.rows[local.rows].arn
  batch_size              = 1 # an object has to fit into the memory
  function_response_types = ["ReportBatchItemFailures"]
}

resource "aws_cloudwatch_metric_alarm" "rows" {
  count = var.schemas == null ? 0 : 1

  alarm_name          = "${local.rows}-dead-letters"
  alarm_description   = "Objects of the archive could not be made rows of. When the cause is gone, move the messages back (sqs start-message-move-task), or load the day by banyan-consume warehouse load."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.rows["${local.rows}-dead-letters"].name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
  ok_actions          = local.alarms
}
