# The janitor deletes versions of functions and layers that nothing refers to. One
# in a region is enough for all that is deployed there.

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

data "aws_region" "this" {}

locals {
  lambda  = "arn:${data.aws_partition.this.partition}:lambda:${data.aws_region.this.region}:${data.aws_caller_identity.this.account_id}"
  because = "It works on all functions and layers of the region."
}

module "operation" {
  source = "../operation"

  name                 = var.name
  description          = "Deletes versions of functions and layers that nothing refers to."
  function             = var.function
  timeout_seconds      = 300
  reserved_concurrency = 1
  schedules            = { sweep = { expression = var.schedule } }
  asynchronous         = { retries = 0, max_age_seconds = 3600 } # a retry would run straight into the throttle

  environment = merge({
    JANITOR_KEEP    = tostring(var.keep)
    JANITOR_EXCEPT  = join(",", var.except)
    JANITOR_DRY_RUN = tostring(var.dry_run)
    }, var.aliases == null ? {} : {
    JANITOR_ALIAS_DAYS   = tostring(var.aliases.days)
    JANITOR_ALIAS_KEEP   = tostring(var.aliases.keep)
    JANITOR_ALIAS_EXCEPT = join(",", var.aliases.except)
  }, var.environment)

  statements = [
    {
      sid       = "List"
      actions   = ["cloudwatch:GetMetricData", "lambda:ListEventSourceMappings", "lambda:ListFunctions", "lambda:ListLayers"]
      resources = ["*"]
      because   = "AWS knows no resource for these."
    },
    {
      sid = "Functions"
      actions = [ # IAM knows no action to delete a version only
        "lambda:DeleteAlias",
        "lambda:DeleteFunction",
        "lambda:GetAlias",
        "lambda:ListAliases",
        "lambda:ListProvisionedConcurrencyConfigs",
        "lambda:ListVersionsByFunction",
      ]
      resources = ["${local.lambda}:function:*"]
      because   = local.because
    },
    {
      sid = "Layers"
      actions = [
        "lambda:DeleteLayerVersion",
        "lambda:GetLayerVersion",
        "lambda:GetLayerVersionPolicy",
        "lambda:ListLayerVersions",
      ]
      resources = ["${local.lambda}:layer:*"] # and their versions
      because   = local.because
    },
  ]

  metric_alarms = {
    failures = { metric = "Failures", dimensions = { Function = var.name }, seconds = 3600, why = "Versions could not be deleted, and not because of a throttle." }
    idle     = { metric = "Looked", dimensions = { Function = var.name }, below = true, seconds = 86400, periods = var.idle_days, why = "Nothing was looked at for ${var.idle_days} days: it does not run, or has never the time, or is throttled each time." }
  }
}
