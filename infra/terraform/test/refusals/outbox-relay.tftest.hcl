variables {
  name         = "r"
  package      = { s3_bucket = "b", s3_key = "k" }
  stream       = { name = "s", publishing = [] }
  dead_letters = { name = "d", arn = "arn:aws:dynamodb:us-east-1:123456789012:table/d" }
}

run "outbox_without_changes" {
  command = plan

  module {
    source = "../../modules/outbox-relay"
  }

  variables {
    outbox = { name = "o", arn = "arn:aws:dynamodb:us-east-1:123456789012:table/o", stream_arn = null }
  }

  expect_failures = [var.outbox]
}
