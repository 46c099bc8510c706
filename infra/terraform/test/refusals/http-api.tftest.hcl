variables {
  name    = "f"
  package = { s3_bucket = "b", s3_key = "k" }
}

run "what_api_gateway_refuses" {
  command = plan

  module {
    source = "../../modules/http-api"
  }

  variables {
    routes          = ["/v1/timelines"]
    timeout_seconds = 60
    throttling      = { rate = 0 }
  }

  expect_failures = [var.routes, var.timeout_seconds, var.throttling]
}
