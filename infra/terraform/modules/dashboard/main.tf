# One page for whoever is called at night, in the order of the way of the data: is
# the stream taken, are consumers behind, are there dead letters, do services answer.

data "aws_region" "this" {}

locals {
  functions  = sort(concat(var.consumers, var.functions))
  namespaces = { for function in var.consumers : function => lookup(var.metrics_namespaces, function, "Banyan/Consumers") }

  charts = [for chart in [
    {
      title   = "Stream: records and bytes in"
      stat    = "Sum"
      metrics = [["AWS/Kinesis", "IncomingRecords", "StreamName", var.stream], ["AWS/Kinesis", "IncomingBytes", "StreamName", var.stream, { yAxis = "right" }]]
    },
    {
      title   = "Stream: refused"
      stat    = "Sum"
      metrics = [["AWS/Kinesis", "WriteProvisionedThroughputExceeded", "StreamName", var.stream], ["AWS/Kinesis", "ReadProvisionedThroughputExceeded", "StreamName", var.stream]]
    },
    {
      title   = "Consumers: behind by (ms)"
      stat    = "Maximum"
      metrics = [for function in var.consumers : ["AWS/Lambda", "IteratorAge", "FunctionName", function]]
    },
    {
      title   = "Consumers: from the stream to the read model (ms, p99)"
      stat    = "p99"
      metrics = [for function in var.consumers : [local.namespaces[function], "Lag", "Function", function]]
    },
    {
      title   = "Consumers: applied"
      stat    = "Sum"
      metrics = [for function in var.consumers : [local.namespaces[function], "Applied", "Function", function]]
    },
    {
      title   = "Consumers: dead letters and failed"
      stat    = "Sum"
      metrics = [for pair in setproduct(var.consumers, ["DeadLetters", "Failed"]) : [local.namespaces[pair[0]], pair[1], "Function", pair[0]]]
    },
    {
      title   = "Functions: errors and throttles"
      stat    = "Sum"
      metrics = [for pair in setproduct(local.functions, ["Errors", "Throttles"]) : ["AWS/Lambda", pair[1], "FunctionName", pair[0]]]
    },
    {
      title   = "Functions: duration (ms, p99)"
      stat    = "p99"
      metrics = [for function in local.functions : ["AWS/Lambda", "Duration", "FunctionName", function]]
    },
    {
      title   = "Tables: capacity written"
      stat    = "Sum"
      metrics = [for table in var.tables : ["AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", table]]
    },
    {
      title   = "Tables: capacity read"
      stat    = "Sum"
      metrics = [for table in var.tables : ["AWS/DynamoDB", "ConsumedReadCapacityUnits", "TableName", table]]
    },
    {
      title = "Services: requests"
      stat  = "Sum"
      metrics = concat(
        [for name, service in var.services : ["AWS/ApplicationELB", "RequestCount", "LoadBalancer", service.balancer, "TargetGroup", service.target_group, { label = name }]],
        [for name, api in var.apis : ["AWS/ApiGateway", "Count", "ApiId", api, { label = name }]],
      )
    },
    {
      title   = "Services: time to answer (s, p99)"
      stat    = "p99"
      metrics = [for name, service in var.services : ["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", service.balancer, "TargetGroup", service.target_group, { label = name }]]
    },
    {
      title   = "APIs: time to answer (ms, p99)"
      stat    = "p99"
      metrics = [for name, api in var.apis : ["AWS/ApiGateway", "Latency", "ApiId", api, { label = name }]]
    },
    {
      title = "Services: answers of 500 and above"
      stat  = "Sum"
      metrics = concat(
        [for name, service in var.services : ["AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "LoadBalancer", service.balancer, "TargetGroup", service.target_group, { label = name }]],
        [for name, api in var.apis : ["AWS/ApiGateway", "5xx", "ApiId", api, { label = name }]],
      )
    },
  ] : chart if length(chart.metrics) > 0]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name

  dashboard_body = jsonencode({
    widgets = [for i, chart in local.charts : {
      type   = "metric"
      x      = i % 2 * 12
      y      = floor(i / 2) * 6
      width  = 12
      height = 6
      properties = {
        title   = chart.title
        region  = data.aws_region.this.region
        stat    = chart.stat
        period  = 60
        view    = "timeSeries"
        metrics = chart.metrics
      }
    }]
  })
}
