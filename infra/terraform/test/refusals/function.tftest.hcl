variables {
  name = "f"
}

run "without_need" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    package    = {}
    statements = [{ sid = "All", actions = ["dynamodb:*"], resources = ["arn:aws:dynamodb:us-east-1:123456789012:table/t"] }]

    provisioned_concurrency = { min = 1, max = 2, peaks = { evening = { schedule = "cron(0 18 * * ? *)", min = 5, max = 4 } } }
  }

  expect_failures = [var.package, var.statements, var.provisioned_concurrency]
}

run "too_much" {
  command = plan

  module {
    source = "../../modules/function"
  }

  variables {
    package    = { zip = "f.zip", s3_bucket = "b", s3_key = "k" }
    statements = [{ sid = "All", actions = ["dynamodb:GetItem"], resources = ["*"] }]

    provisioned_concurrency = { min = 1, max = 2, utilization = 70 }
  }

  expect_failures = [var.package, var.statements, var.provisioned_concurrency]
}
