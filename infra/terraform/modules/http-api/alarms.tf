locals {
  alarms = {
    failing = { metric = "5xx", statistic = "Sum", threshold = var.alarms.failures, minutes = 2, why = "Requests are answered with errors." }
    slow    = { metric = "Latency", statistic = "p99", threshold = var.alarms.latency_ms, minutes = 5, why = "One request of a hundred takes too long." }
  }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-api-${each.key}"
  alarm_description   = each.value.why
  namespace           = "AWS/ApiGateway"
  metric_name         = each.value.metric
  dimensions          = { ApiId = aws_apigatewayv2_api.this.id, Stage = aws_apigatewayv2_stage.this.name }
  statistic           = startswith(each.value.statistic, "p") ? null : each.value.statistic
  extended_statistic  = startswith(each.value.statistic, "p") ? each.value.statistic : null
  period              = 60
  evaluation_periods  = each.value.minutes
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
