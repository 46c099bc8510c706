variables {
  name     = "n"
  packages = { log-shipper = { zip = "z" }, log-subscriber = { zip = "z" } }
  function = {}
}

run "plain_http" {
  command = plan

  module {
    source = "../../modules/log-shipping"
  }

  variables {
    opensearch = { url = "http://search.example.com", arn = "arn:aws:es:us-east-1:123456789012:domain/logs" }
  }

  expect_failures = [var.opensearch]
}
