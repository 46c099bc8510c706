# One service as a function behind an HTTP API of API Gateway: what containers do
# behind a balancer, for a load that comes and goes.
#
# Everybody reaches an HTTP API, and this one asks nobody who they are: the service
# has to refuse those without a token, as Banyan's do. A client waits for 30 s at most.

module "function" {
  source = "../function"

  name                    = var.name
  description             = var.description
  package                 = var.package
  architecture            = var.architecture
  environment             = var.environment
  statements              = var.statements
  timeout_seconds         = var.timeout_seconds
  memory_mib              = var.memory_mib
  reserved_concurrency    = var.reserved_concurrency
  provisioned_concurrency = var.provisioned_concurrency
  kms_key_arn             = var.kms_key_arn
  log_retention_days      = var.log_retention_days
  alarms                  = var.function_alarms
  alarm_topic_arns        = var.alarm_topic_arns
}

resource "aws_apigatewayv2_api" "this" {
  name          = var.name
  description   = var.description
  protocol_type = "HTTP"
}

resource "aws_apigatewayv2_integration" "this" {
  api_id                 = aws_apigatewayv2_api.this.id
  integration_type       = "AWS_PROXY"
  integration_method     = "POST"
  integration_uri        = module.function.alias_invoke_arn
  payload_format_version = "2.0"
  timeout_milliseconds   = var.timeout_seconds * 1000 + 1000 # so that it is the function that says it took too long
}

resource "aws_apigatewayv2_route" "this" {
  #checkov:skip=CKV_AWS_309:The service itself asks for a token, which API Gateway could not verify: it is signed by a secret.

  for_each = var.routes

  api_id    = aws_apigatewayv2_api.this.id
  route_key = each.value
  target    = "integrations/${aws_apigatewayv2_integration.this.id}"
}

resource "aws_apigatewayv2_stage" "this" {
  api_id      = aws_apigatewayv2_api.this.id
  name        = "$default"
  auto_deploy = true

  default_route_settings {
    throttling_rate_limit  = var.throttling.rate
    throttling_burst_limit = var.throttling.burst
  }

  access_log_settings {
    destination_arn = aws_cloudwatch_log_group.access.arn
    format          = jsonencode(local.access)
  }

  depends_on = [aws_apigatewayv2_route.this] # it is deployed with all of them
}

# What is known of a request, without its headers, and without its query.
locals {
  access = {
    requestId          = "$context.requestId" # the function's events have it, too
    time               = "$context.requestTime"
    method             = "$context.httpMethod"
    path               = "$context.path"
    routeKey           = "$context.routeKey"
    status             = "$context.status"
    responseLength     = "$context.responseLength"
    latencyMs          = "$context.responseLatency"
    integrationStatus  = "$context.integrationStatus"
    integrationLatency = "$context.integrationLatency"
    error              = "$context.error.responseType"
  }
}

# The policy by which API Gateway may write to groups is the account's, which has
# room for few names. Those that begin like this need none of it.
resource "aws_cloudwatch_log_group" "access" {
  name              = "/aws/vendedlogs/http-api/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

resource "aws_lambda_permission" "this" {
  statement_id  = "http-api"
  action        = "lambda:InvokeFunction"
  function_name = module.function.name
  qualifier     = module.function.alias_name
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.this.execution_arn}/${aws_apigatewayv2_stage.this.name}/*" # its methods and paths
}
