run "prefix" {
  command = plan

  module {
    source = "../../modules/config"
  }

  variables {
    prefix = "p/"
  }

  expect_failures = [var.prefix]
}
