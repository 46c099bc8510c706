# The forwarding proxy: containers behind the public balancer, which take all of
# its requests, with the route file from SSM or in the image.
#
# The proxies of one version of the route file replace those of the version before,
# a few at a time: for a minute both are in force. A file that does not compile
# never gets requests: its task does not become healthy, and ECS rolls back.

resource "aws_ssm_parameter" "routes" {
  count = var.routes == null ? 0 : 1

  name        = var.routes.parameter
  description = "Routes of ${var.name}."
  type        = "String"
  tier        = length(var.routes.content) > 4096 ? "Advanced" : "Standard"
  value       = var.routes.content

  lifecycle {
    precondition {
      condition     = length(var.routes.content) <= 8192
      error_message = "A route file of more than 8 KB does not fit a parameter: keep it in S3 and let the task read it, or put it into the image; BANYAN_ROUTES names either."
    }
  }
}

locals {
  path = "/routes/routes.yaml"
}

module "container" {
  source = "../container"

  name         = var.name
  cluster      = var.cluster
  network      = var.network
  image        = var.image
  command      = ["serve"]
  architecture = var.architecture
  size         = var.size
  secrets      = var.secrets
  port         = 8080
  admin_port   = 8081
  tasks        = var.tasks
  listener     = merge(var.listener, { paths = ["/*"] })
  egress       = var.egress

  admin_security_group_ids = var.admin_security_group_ids
  secrets_kms_key_arns     = var.secrets_kms_key_arns
  kms_key_arn              = var.kms_key_arn
  log_retention_days       = var.log_retention_days
  wait_until_stable        = var.wait_until_stable
  alarm_topic_arns         = var.alarm_topic_arns

  environment = merge({
    BANYAN_PROXY_LISTEN       = "0.0.0.0:8080"
    BANYAN_PROXY_ADMIN_LISTEN = "0.0.0.0:8081"
    BANYAN_PROXY_FLEET        = var.name
    BANYAN_ROUTES             = local.path
    }, var.table == null ? {} : {
    BANYAN_PROXY_OVERRIDES     = "dynamodb:${var.table.name}"
    BANYAN_PROXY_WRITTEN_TABLE = var.table.name
  }, var.environment)

  statements = concat(var.statements, var.table == null ? [] : [{
    sid       = "Shared"
    actions   = ["dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
    resources = [var.table.arn]
    because   = null
  }])

  file = var.routes == null ? null : {
    path          = local.path
    parameter_arn = aws_ssm_parameter.routes[0].arn
    digest        = sha256(var.routes.content)
  }
}
