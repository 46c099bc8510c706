variables {
  name    = "f"
  package = { zip = "f.zip" }
}

run "wildcard_in_an_action" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    statements = [{ sid = "All", actions = ["dynamodb:*"], resources = ["arn:aws:dynamodb:us-east-1:1:table/t"] }]
  }

  expect_failures = [var.statements]
}

run "every_resource_without_a_reason" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    statements = [{ sid = "All", actions = ["dynamodb:GetItem"], resources = ["*"] }]
  }

  expect_failures = [var.statements]
}

run "no_package" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    package = {}
  }

  expect_failures = [var.package]
}

run "two_packages" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    package = { zip = "f.zip", s3_bucket = "b", s3_key = "k" }
  }

  expect_failures = [var.package]
}

run "peak_above_its_own_max" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    provisioned_concurrency = { min = 1, max = 2, peaks = { evening = { schedule = "cron(0 18 * * ? *)", min = 5, max = 4 } } }
  }

  expect_failures = [var.provisioned_concurrency]
}

run "utilization_in_percent" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    provisioned_concurrency = { min = 1, max = 2, utilization = 70 }
  }

  expect_failures = [var.provisioned_concurrency]
}
