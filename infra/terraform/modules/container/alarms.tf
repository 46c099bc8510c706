locals {
  target = try({
    LoadBalancer = regex("^arn:[^/]+:listener/(.+)/[^/]+$", var.listener.arn)[0]
    TargetGroup  = aws_lb_target_group.this[0].arn_suffix
  }, null)

  balancer_alarms = var.port == null ? {} : {
    unhealthy = { metric = "UnHealthyHostCount", statistic = "Maximum", threshold = 1, minutes = 3, why = "Tasks do not become healthy, or stopped being so." }
    failing   = { metric = "HTTPCode_Target_5XX_Count", statistic = "Sum", threshold = 10, minutes = 2, why = "Requests are answered with errors." }
    slow      = { metric = "TargetResponseTime", statistic = "Average", threshold = 1, minutes = 5, why = "Requests take a second on average." }
  }
}

resource "aws_cloudwatch_metric_alarm" "balancer" {
  for_each = local.balancer_alarms

  alarm_name          = "${var.name}-service-${each.key}"
  alarm_description   = each.value.why
  namespace           = "AWS/ApplicationELB"
  metric_name         = each.value.metric
  dimensions          = local.target
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.minutes
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}

resource "aws_cloudwatch_metric_alarm" "cpu" {
  alarm_name          = "${var.name}-service-cpu"
  alarm_description   = "Tasks are busier than scaling out can help: the most tasks run, or one request takes too much."
  namespace           = "AWS/ECS"
  metric_name         = "CPUUtilization"
  dimensions          = { ClusterName = var.cluster.name, ServiceName = aws_ecs_service.this.name }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 10
  threshold           = 90
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
}
