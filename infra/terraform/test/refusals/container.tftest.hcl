variables {
  name    = "c"
  cluster = { arn = "arn:aws:ecs:us-east-1:123456789012:cluster/c", name = "c" }
  network = { vpc_id = "vpc-1", subnet_ids = ["subnet-1", "subnet-2"] }
  image   = "banyan-users:v1"
}

run "what_ecs_and_balancers_refuse" {
  command = plan

  module {
    source = "../../modules/container"
  }

  variables {
    name = "the-users-service-of-production"
    size = { cpu = 512, memory = 512 }

    architecture = "arm"
    tasks        = { min = 4, max = 2 }
    statements   = [{ sid = "All", actions = ["s3:Get*"], resources = ["arn:aws:s3:::b/*"] }]
    port         = 8080
    listener     = { arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/b/1/2", security_group_id = "sg-1", priority = 1 }
  }

  expect_failures = [var.name, var.architecture, var.size, var.tasks, var.statements, var.listener]
}

run "port_without_a_listener" {
  command = plan

  module {
    source = "../../modules/container"
  }

  variables {
    port = 8080
  }

  expect_failures = [aws_ecs_service.this]
}

run "secret_in_the_environment_too" {
  command = plan

  module {
    source = "../../modules/container"
  }

  variables {
    environment = { KEY = "1" }
    secrets     = { KEY = "arn:aws:ssm:us-east-1:123456789012:parameter/key" }
  }

  expect_failures = [aws_ecs_task_definition.this]
}
