variables {
  packages             = { for function in ["sqsloop", "sqsloop-restart", "sqsloop-scale-down", "sqsloop-scale-up"] : function => { s3_bucket = "b", s3_key = "k" } }
  function             = {}
  reserved_concurrency = 12
}

run "fifo_and_a_package_too_few" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    packages = { sqsloop = { s3_bucket = "b", s3_key = "k" } }
    queues   = { q = { url = "u", arn = "arn:aws:sqs:us-east-1:123456789012:q.fifo", handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live" } }
  }

  expect_failures = [var.packages, var.queues]
}

run "handler_without_an_alias" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    queues = { q = { url = "u", arn = "arn:aws:sqs:us-east-1:123456789012:q", handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:f" } }
  }

  expect_failures = [var.queues]
}

run "more_loops_than_may_run" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    queues               = { q = { url = "u", arn = "arn:aws:sqs:us-east-1:123456789012:q", handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live" } }
    reserved_concurrency = 5
  }

  expect_failures = [aws_cloudwatch_metric_alarm.recursion]
}
