# One DynamoDB table: an entity's, a read model's, or one of Banyan's own.

locals {
  keys = concat(
    [var.hash_key],
    var.range_key == null ? [] : [var.range_key],
    [for index in values(var.indexes) : index.hash_key],
    [for index in values(var.indexes) : index.range_key if index.range_key != null],
  )
  attributes = { for key in local.keys : key.name => key.type... }
}

resource "aws_dynamodb_table" "this" {
  name                        = var.name
  billing_mode                = var.provisioned == null ? "PAY_PER_REQUEST" : "PROVISIONED"
  read_capacity               = try(var.provisioned.read.min, null)
  write_capacity              = try(var.provisioned.write.min, null)
  hash_key                    = var.hash_key.name
  range_key                   = try(var.range_key.name, null)
  stream_enabled              = var.stream_view_type != null
  stream_view_type            = var.stream_view_type
  deletion_protection_enabled = var.deletion_protection

  dynamic "attribute" {
    for_each = local.attributes
    content {
      name = attribute.key
      type = attribute.value[0]
    }
  }

  dynamic "global_secondary_index" {
    for_each = var.indexes
    content {
      name               = global_secondary_index.key
      hash_key           = global_secondary_index.value.hash_key.name
      range_key          = try(global_secondary_index.value.range_key.name, null)
      projection_type    = global_secondary_index.value.projected == null ? "ALL" : length(global_secondary_index.value.projected) == 0 ? "KEYS_ONLY" : "INCLUDE"
      non_key_attributes = try(length(global_secondary_index.value.projected) > 0 ? global_secondary_index.value.projected : null, null)
    }
  }

  dynamic "ttl" {
    for_each = var.ttl_attribute[*]
    content {
      attribute_name = ttl.value
      enabled        = true
    }
  }

  dynamic "on_demand_throughput" {
    for_each = var.provisioned == null && (var.on_demand_limits.read > 0 || var.on_demand_limits.write > 0) ? [var.on_demand_limits] : []
    content {
      max_read_request_units  = on_demand_throughput.value.read
      max_write_request_units = on_demand_throughput.value.write
    }
  }

  dynamic "warm_throughput" {
    for_each = var.warm_throughput[*]
    content {
      read_units_per_second  = warm_throughput.value.read
      write_units_per_second = warm_throughput.value.write
    }
  }

  point_in_time_recovery {
    enabled = var.point_in_time_recovery
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  lifecycle {
    # Application autoscaling decides. Of a lower warm throughput the provider would make
    # another table.
    ignore_changes = [read_capacity, write_capacity, warm_throughput]

    precondition {
      condition     = var.provisioned == null || length(var.indexes) == 0
      error_message = "A table with indexes is on demand: of a provisioned one, each apply would put the indexes' capacity back to the least, in the midst of a load, too."
    }

    precondition {
      condition     = var.provisioned == null || (var.on_demand_limits.read == -1 && var.on_demand_limits.write == -1)
      error_message = "on_demand_limits bound an on-demand table: a provisioned one has the max of its read and write."
    }

    precondition {
      condition     = alltrue([for types in values(local.attributes) : length(distinct(types)) == 1])
      error_message = "An attribute is used as two types in the keys of ${var.name}."
    }
  }
}

locals {
  alarms = {
    throttled = { metric = "ThrottledRequests", threshold = 1, why = "DynamoDB refused requests: a hot key, or a limit reached." }
    failing   = { metric = "SystemErrors", threshold = 5, why = "DynamoDB answers with errors of its own." }
  }
  alarm_operations = ["GetItem", "Query", "PutItem", "UpdateItem", "TransactWriteItems"]
}

# DynamoDB counts both metrics by operation only, so an alarm adds them up.
resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-table-${each.key}"
  alarm_description   = each.value.why
  evaluation_periods  = 2
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns

  metric_query {
    id          = "all"
    expression  = "SUM([${join(",", [for i, operation in local.alarm_operations : "FILL(m${i},0)"])}])"
    label       = each.value.metric
    return_data = true
  }

  dynamic "metric_query" {
    for_each = local.alarm_operations
    content {
      id = "m${metric_query.key}"
      metric {
        namespace   = "AWS/DynamoDB"
        metric_name = each.value.metric
        dimensions  = { TableName = aws_dynamodb_table.this.name, Operation = metric_query.value }
        stat        = "Sum"
        period      = 60
      }
    }
  }
}
