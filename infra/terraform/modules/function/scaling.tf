# Provisioned concurrency of the alias, by application autoscaling. The peaks move
# the target's bounds, and an apply must not move them back in the middle of one.
# So the target is made anew when its own bounds change, and is left alone
# otherwise.

locals {
  provisioned = var.provisioned_concurrency == null ? {} : { (var.alias) = var.provisioned_concurrency }
}

resource "terraform_data" "bounds" {
  for_each = local.provisioned

  input = [each.value.min, each.value.max]
}

resource "aws_appautoscaling_target" "this" {
  for_each = local.provisioned

  service_namespace  = "lambda"
  resource_id        = "function:${aws_lambda_function.this.function_name}:${aws_lambda_alias.this.name}"
  scalable_dimension = "lambda:function:ProvisionedConcurrency"
  min_capacity       = each.value.min
  max_capacity       = each.value.max

  lifecycle {
    ignore_changes       = [min_capacity, max_capacity]
    replace_triggered_by = [terraform_data.bounds[each.key]]
  }
}

resource "aws_appautoscaling_policy" "this" {
  for_each = local.provisioned

  name               = "${var.name}-utilization"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = each.value.utilization

    predefined_metric_specification {
      predefined_metric_type = "LambdaProvisionedConcurrencyUtilization"
    }
  }

  lifecycle {
    replace_triggered_by = [aws_appautoscaling_target.this] # it takes its policies with it
  }
}

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each = try(var.provisioned_concurrency.peaks, {})

  name               = each.key
  service_namespace  = aws_appautoscaling_target.this[var.alias].service_namespace
  resource_id        = aws_appautoscaling_target.this[var.alias].resource_id
  scalable_dimension = aws_appautoscaling_target.this[var.alias].scalable_dimension
  schedule           = each.value.schedule
  timezone           = each.value.timezone

  scalable_target_action {
    min_capacity = each.value.min
    max_capacity = each.value.max
  }

  lifecycle {
    replace_triggered_by = [aws_appautoscaling_target.this]
  }
}
