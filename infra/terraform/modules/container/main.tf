# One binary as a service on ECS Fargate: behind a balancer's rule when it has a
# port, and as a worker otherwise. A deployment whose tasks do not become healthy
# is rolled back by ECS itself.

data "aws_region" "this" {}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/banyan/${var.name}"
  retention_in_days = var.log_retention_days
  kms_key_id        = var.kms_key_arn
}

locals {
  logging = {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.this.name
      awslogs-region        = data.aws_region.this.region
      awslogs-stream-prefix = "task"
      mode                  = "non-blocking" # logs that cannot be sent must not stop the service
      max-buffer-size       = "4m"
    }
  }
  ports  = distinct([for port in [var.port, var.admin_port] : port if port != null])
  folder = try(dirname(var.file.path), null)

  binary = {
    name                   = var.name
    image                  = var.image
    command                = var.command
    essential              = true
    readonlyRootFilesystem = true
    stopTimeout            = var.stop_timeout_seconds
    environment            = [for name in sort(keys(local.environment)) : { name = name, value = local.environment[name] }]
    secrets                = [for name in sort(keys(var.secrets)) : { name = name, valueFrom = var.secrets[name] }]
    portMappings           = [for port in local.ports : { containerPort = port, hostPort = port, protocol = "tcp" }]
    mountPoints            = var.file == null ? [] : [{ sourceVolume = "file", containerPath = local.folder, readOnly = true }]
    dependsOn              = var.file == null ? [] : [{ containerName = "file", condition = "SUCCESS" }]
    logConfiguration       = local.logging
  }
  environment = merge(var.environment, var.file == null ? {} : { BANYAN_FILE_DIGEST = var.file.digest })

  writer = var.file == null ? [] : [{
    name                   = "file"
    image                  = var.file.writer_image
    command                = ["sh", "-c", "printf %s \"$CONTENT\" >'${var.file.path}'"]
    essential              = false
    readonlyRootFilesystem = true
    secrets                = [{ name = "CONTENT", valueFrom = var.file.parameter_arn }]
    mountPoints            = [{ sourceVolume = "file", containerPath = local.folder, readOnly = false }]
    logConfiguration       = local.logging
  }]
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.size.cpu
  memory                   = var.size.memory
  task_role_arn            = aws_iam_role.task.arn
  execution_role_arn       = aws_iam_role.start.arn
  container_definitions    = jsonencode(concat(local.writer, [local.binary]))

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = var.architecture == "arm64" ? "ARM64" : "X86_64"
  }

  dynamic "volume" {
    for_each = var.file[*]
    content {
      name = "file"
    }
  }

  lifecycle {
    precondition {
      condition     = length(setintersection(keys(var.environment), keys(var.secrets))) == 0
      error_message = "Both in environment and in secrets, of which ECS wants one: ${join(", ", setintersection(keys(var.environment), keys(var.secrets)))}."
    }
  }
}

resource "aws_ecs_service" "this" {
  name                               = var.name
  cluster                            = var.cluster.arn
  task_definition                    = aws_ecs_task_definition.this.arn
  desired_count                      = var.tasks.min
  launch_type                        = "FARGATE"
  propagate_tags                     = "SERVICE"
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  wait_for_steady_state              = var.wait_until_stable
  health_check_grace_period_seconds  = var.port == null ? null : 60

  network_configuration {
    subnets          = var.network.subnet_ids
    security_groups  = [aws_security_group.this.id]
    assign_public_ip = false
  }

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "load_balancer" {
    for_each = aws_lb_target_group.this
    content {
      target_group_arn = load_balancer.value.arn
      container_name   = var.name
      container_port   = var.port
    }
  }

  lifecycle {
    ignore_changes = [desired_count] # application autoscaling decides

    precondition {
      condition     = (var.port == null) == (var.listener == null)
      error_message = "port and listener are given both or not at all."
    }
  }

  # New tasks need the roles' rights, and a target group is refused without a rule.
  depends_on = [aws_lb_listener_rule.this, aws_iam_role_policy.start, aws_iam_role_policy.task]
}
