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
    schedule = "hourly"
    keep     = -1
  }

  expect_failures = [var.schedule, var.keep]
}
