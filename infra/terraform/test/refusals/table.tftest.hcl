variables {
  name = "t"
}

run "min_above_max" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    provisioned = { read = { min = 5, max = 1 }, write = { min = 1, max = 5 } }
  }

  expect_failures = [var.provisioned]
}

run "peak_without_a_schedule" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    provisioned = { read = { min = 1, max = 5 }, write = { min = 1, max = 5 }, peaks = { evening = { schedule = "every evening", read_min = 2 } } }
  }

  expect_failures = [var.provisioned]
}

run "peak_without_a_bound" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    provisioned = { read = { min = 1, max = 5 }, write = { min = 1, max = 5 }, peaks = { evening = { schedule = "cron(0 18 * * ? *)" } } }
  }

  expect_failures = [var.provisioned]
}

run "both_ways_to_pay" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    on_demand_limits = { read = 100 }
    provisioned      = { read = { min = 1, max = 5 }, write = { min = 1, max = 5 } }
  }

  expect_failures = [aws_dynamodb_table.this]
}

run "two_types_of_a_key" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    hash_key = { name = "pk" }
    indexes  = { by_pk = { hash_key = { name = "pk", type = "N" } } }
  }

  expect_failures = [aws_dynamodb_table.this]
}

run "index_of_a_provisioned_table" {
  command = plan

  module {
    source = "../../modules/table"
  }

  variables {
    indexes     = { by_author = { hash_key = { name = "author" } } }
    provisioned = { read = { min = 1, max = 5 }, write = { min = 1, max = 5 } }
  }

  expect_failures = [aws_dynamodb_table.this]
}
