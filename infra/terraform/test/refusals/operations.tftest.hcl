provider "aws" {}

# A region that has to be enabled.
provider "aws" {
  alias  = "hong_kong"
  region = "ap-east-1"
}

variables {
  function = { package = { s3_bucket = "b", s3_key = "k" } }
}

run "keep_warm_nothing_to_keep_warm" {
  command = plan

  module {
    source = "../../modules/keep-warm"
  }

  variables {
    targets = {}
    hold    = "200"
  }

  expect_failures = [var.targets, var.hold]
}

run "stream_autoscaler_no_streams" {
  command = plan

  module {
    source = "../../modules/stream-autoscaler"
  }

  variables {
    streams = {}
  }

  expect_failures = [var.streams]
}

run "stream_autoscaler_fewest_above_most" {
  command = plan

  module {
    source = "../../modules/stream-autoscaler"
  }

  variables {
    streams = { s = { name = "s", arn = "arn:aws:kinesis:us-east-1:123456789012:stream/s", min = 4, max = 2 } }
  }

  expect_failures = [var.streams]
}

run "janitor_schedule" {
  command = plan

  module {
    source = "../../modules/janitor"
  }

  variables {
    schedule  = "hourly"
    keep      = -1
    idle_days = 8
  }

  expect_failures = [var.schedule, var.keep, var.idle_days]
}

# No refusal: what SNS brings from elsewhere, and by which name it comes.
run "operation_topics_of_other_regions" {
  command = plan

  module {
    source = "../../modules/operation"
  }

  variables {
    name            = "f"
    description     = "f"
    timeout_seconds = 3
    asynchronous    = { retries = 0, max_age_seconds = 60 }
    statements      = []
    topic_arns = { for name, region in { own = "us-east-1", ireland = "eu-west-1", hong_kong = "ap-east-1" } :
    name => "arn:aws:sns:${region}:123456789012:t" }
    topic_regions = { ireland = "eu-west-1", hong_kong = "ap-east-1" }
  }

  assert {
    condition     = { for name, permission in aws_lambda_permission.topic : name => permission.principal } == { own = "sns.amazonaws.com", ireland = "sns.amazonaws.com", hong_kong = "sns.ap-east-1.amazonaws.com" }
    error_message = "The topics' principals are ${jsonencode({ for name, permission in aws_lambda_permission.topic : name => permission.principal })}."
  }

  assert {
    condition     = { for name, subscription in aws_sns_topic_subscription.this : name => subscription.region } == { own = "us-east-1", ireland = "eu-west-1", hong_kong = "ap-east-1" }
    error_message = "A topic is subscribed in another region than its own."
  }
}

run "operation_in_a_region_that_has_to_be_enabled" {
  command = plan

  providers = {
    aws = aws.hong_kong
  }

  module {
    source = "../../modules/operation"
  }

  variables {
    name            = "f"
    description     = "f"
    timeout_seconds = 3
    asynchronous    = { retries = 0, max_age_seconds = 60 }
    statements      = []
    topic_arns      = { ireland = "arn:aws:sns:eu-west-1:123456789012:t" }
    topic_regions   = { ireland = "eu-west-1" }
  }

  expect_failures = [aws_lambda_permission.topic["ireland"]]
}
