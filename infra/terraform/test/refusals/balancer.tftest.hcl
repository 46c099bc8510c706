variables {
  name          = "b"
  network       = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
  allowed_cidrs = ["10.0.0.0/8"]
}

run "everybody_without_a_certificate" {
  command = plan

  module {
    source = "../../modules/balancer"
  }

  variables {
    internal = false
  }

  expect_failures = [aws_lb_listener.this]
}

run "what_balancers_refuse" {
  command = plan

  module {
    source = "../../modules/balancer"
  }

  variables {
    name    = "internal-b"
    network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1"] }
  }

  expect_failures = [var.name, var.network]
}
