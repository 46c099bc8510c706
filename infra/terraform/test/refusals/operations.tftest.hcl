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
  }

  expect_failures = [var.targets]
}

run "keep_warm_hold" {
  command = plan

  module {
    source = "../../modules/keep-warm"
  }

  variables {
    targets = { f = { alias_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live" } }
    hold    = "200"
  }

  expect_failures = [var.hold]
}

run "stream_autoscaler_min_above_max" {
  command = plan

  module {
    source = "../../modules/stream-autoscaler"
  }

  variables {
    streams = { s = { name = "s", arn = "arn:aws:kinesis:us-east-1:123456789012:stream/s", min = 4, max = 2 } }
  }

  expect_failures = [var.streams]
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
