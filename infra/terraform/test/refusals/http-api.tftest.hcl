variables {
  name    = "f"
  package = { s3_bucket = "b", s3_key = "k" }
}

run "route_without_a_method" {
  command = plan

  module {
    source = "../../modules/http-api"
  }

  variables {
    routes = ["/v1/timelines"]
  }

  expect_failures = [var.routes]
}

run "no_route" {
  command = plan

  module {
    source = "../../modules/http-api"
  }

  variables {
    routes = []
  }

  expect_failures = [var.routes]
}

run "longer_than_api_gateway_waits" {
  command = plan

  module {
    source = "../../modules/http-api"
  }

  variables {
    timeout_seconds = 60
  }

  expect_failures = [var.timeout_seconds]
}

run "everything_refused" {
  command = plan

  module {
    source = "../../modules/http-api"
  }

  variables {
    throttling = { rate = 0 }
  }

  expect_failures = [var.throttling]
}
