# Application autoscaling of a provisioned table: one target for what is read, and
# one for what is written.

locals {
  scaled = var.provisioned == null ? {} : { for kind in ["read", "write"] : kind => {
    dimension = "dynamodb:table:${title(kind)}CapacityUnits"
    min       = var.provisioned[kind].min
    max       = var.provisioned[kind].max
  } }

  peaks = var.provisioned == null ? {} : merge([
    for kind in ["read", "write"] : {
      for name, peak in var.provisioned.peaks : "${name}-${kind}" => {
        kind     = kind
        schedule = peak.schedule
        timezone = peak.timezone
        min      = kind == "read" ? peak.read_min : peak.write_min
        max      = kind == "read" ? peak.read_max : peak.write_max
      }
    }
  ]...)
}

# The peaks move a target's bounds, and an apply must not move them back in the
# middle of one. So a target is made anew when its own bounds change, and is
# left alone otherwise.
resource "terraform_data" "bounds" {
  for_each = local.scaled

  input = [each.value.min, each.value.max]
}

resource "aws_appautoscaling_target" "this" {
  for_each = local.scaled

  service_namespace  = "dynamodb"
  resource_id        = "table/${aws_dynamodb_table.this.name}"
  scalable_dimension = each.value.dimension
  min_capacity       = each.value.min
  max_capacity       = each.value.max

  lifecycle {
    ignore_changes       = [min_capacity, max_capacity]
    replace_triggered_by = [terraform_data.bounds[each.key]]
  }
}

resource "aws_appautoscaling_policy" "this" {
  for_each = local.scaled

  name               = "${var.name}-${each.key}-utilization"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this[each.key].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.key].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.key].scalable_dimension

  target_tracking_scaling_policy_configuration {
    target_value = var.provisioned.utilization

    predefined_metric_specification {
      predefined_metric_type = "DynamoDB${title(each.key)}CapacityUtilization"
    }
  }

  lifecycle {
    replace_triggered_by = [aws_appautoscaling_target.this[each.key]] # it takes its policies with it
  }
}

resource "aws_appautoscaling_scheduled_action" "this" {
  for_each = { for key, peak in local.peaks : key => peak if peak.min != null || peak.max != null }

  name               = each.key
  service_namespace  = aws_appautoscaling_target.this[each.value.kind].service_namespace
  resource_id        = aws_appautoscaling_target.this[each.value.kind].resource_id
  scalable_dimension = aws_appautoscaling_target.this[each.value.kind].scalable_dimension
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
