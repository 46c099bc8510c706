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

run "topics_of_people_and_a_key_of_another_region" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    function = { alarm_topic_arns = ["arn:aws:sns:us-east-1:123456789012:people"], kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/k" }
    queues   = { q = { url = "u", arn = "arn:aws:sqs:eu-west-1:123456789012:q", region = "eu-west-1", handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live" } }
  }

  expect_failures = [aws_cloudwatch_metric_alarm.oldest["q"], aws_sns_topic.up["q"]]
}

run "region_that_is_not_named" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    queues = { q = { url = "u", arn = "arn:aws:sqs:eu-west-1:123456789012:q", handler_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live" } }
  }

  expect_failures = [aws_sns_topic.up["q"]]
}

run "handler_beside_a_queue_elsewhere" {
  command = plan

  module {
    source = "../../modules/sqs-loop"
  }

  variables {
    queues = { q = { url = "u", arn = "arn:aws:sqs:eu-west-1:123456789012:q", region = "eu-west-1", handler_arn = "arn:aws:lambda:eu-west-1:123456789012:function:f:live" } }
  }

  expect_failures = [aws_cloudwatch_metric_alarm.recursion]
}
