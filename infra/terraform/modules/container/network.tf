resource "aws_security_group" "this" {
  name_prefix = "${var.name}-"
  description = "The tasks of ${var.name}."
  vpc_id      = var.network.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "this" {
  for_each = var.egress

  security_group_id = aws_security_group.this.id
  description       = each.key
  ip_protocol       = "tcp"
  from_port         = each.value.port
  to_port           = each.value.port
  cidr_ipv4         = each.value.cidr
}

resource "aws_vpc_security_group_ingress_rule" "balancer" {
  for_each = var.listener == null ? {} : { for port in local.ports : tostring(port) => port }

  security_group_id            = aws_security_group.this.id
  description                  = "The balancer, and its health checks."
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = var.listener.security_group_id
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = var.listener == null ? {} : { for port in local.ports : tostring(port) => port }

  security_group_id            = var.listener.security_group_id
  description                  = "To ${var.name}."
  ip_protocol                  = "tcp"
  from_port                    = each.value
  to_port                      = each.value
  referenced_security_group_id = aws_security_group.this.id
}

resource "aws_vpc_security_group_ingress_rule" "admin" {
  for_each = var.admin_port == null ? {} : var.admin_security_group_ids

  security_group_id            = aws_security_group.this.id
  description                  = "Operators: ${each.key}."
  ip_protocol                  = "tcp"
  from_port                    = var.admin_port
  to_port                      = var.admin_port
  referenced_security_group_id = each.value
}

resource "aws_lb_target_group" "this" {
  count = var.port == null ? 0 : 1

  name                          = var.name
  vpc_id                        = var.network.vpc_id
  target_type                   = "ip"
  protocol                      = "HTTP"
  port                          = var.port
  deregistration_delay          = var.stop_timeout_seconds
  load_balancing_algorithm_type = "least_outstanding_requests"

  health_check {
    path                = var.health_path
    port                = coalesce(var.admin_port, var.port)
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  stickiness {
    type            = "lb_cookie"
    enabled         = var.listener == null ? false : var.listener.sticky
    cookie_duration = 86400
  }
}

resource "aws_lb_listener_rule" "this" {
  count = var.port == null || var.listener == null ? 0 : 1

  listener_arn = var.listener.arn
  priority     = var.listener.priority

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this[0].arn
  }

  dynamic "condition" {
    for_each = length(var.listener.paths) == 0 ? [] : [var.listener.paths]
    content {
      path_pattern {
        values = condition.value
      }
    }
  }

  dynamic "condition" {
    for_each = length(var.listener.hosts) == 0 ? [] : [var.listener.hosts]
    content {
      host_header {
        values = condition.value
      }
    }
  }
}
