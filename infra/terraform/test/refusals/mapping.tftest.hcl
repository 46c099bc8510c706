variables {
  function   = { name = "f", alias_arn = "arn:aws:lambda:us-east-1:123456789012:function:f:live", role_name = "f" }
  source_arn = "arn:aws:kinesis:us-east-1:123456789012:stream/s"
}

run "tumbling_in_parallel" {
  command = plan

  module {
    source = "../../modules/mapping"
  }

  variables {
    settings = { tumbling_seconds = 60, parallelization_factor = 2 }
  }

  expect_failures = [var.settings]
}

run "a_time_without_a_timestamp" {
  command = plan

  module {
    source = "../../modules/mapping"
  }

  variables {
    settings = { starting_position = "AT_TIMESTAMP" }
  }

  expect_failures = [var.settings]
}
