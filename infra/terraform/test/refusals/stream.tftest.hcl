variables {
  name = "s"
}

run "shards_on_demand" {
  command = plan

  module {
    source = "../../modules/stream"
  }

  variables {
    shards = 4
  }

  expect_failures = [aws_kinesis_stream.this]
}

run "mode_and_retention" {
  command = plan

  module {
    source = "../../modules/stream"
  }

  variables {
    mode            = "on-demand"
    retention_hours = 12
  }

  expect_failures = [var.mode, var.retention_hours]
}
