variable "name" {
  description = "Name of the service, at most 28 characters."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9]([a-zA-Z0-9-]{0,26}[a-zA-Z0-9])?$", var.name))
    error_message = "name is 1 to 28 letters, digits and hyphens, and no hyphen at an end: target groups allow no more."
  }
}

variable "cluster" {
  description = "The ECS cluster."
  type = object({
    arn  = string
    name = string
  })
}

variable "network" {
  description = "The network, and its private subnets, from which AWS, the image's registry and MongoDB can be reached."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })
}

variable "image" {
  description = "The container's image, best by digest, with the binary as its entrypoint."
  type        = string
}

variable "command" {
  description = "Arguments of the binary."
  type        = list(string)
  default     = []
}

variable "architecture" {
  description = "arm64 or x86_64; the image has to be built for it."
  type        = string
  default     = "arm64"

  validation {
    condition     = contains(["arm64", "x86_64"], var.architecture)
    error_message = "architecture is arm64 or x86_64."
  }
}

variable "size" {
  description = "CPU units (1024 are one) and memory in MiB of a task, in a pair that Fargate knows."
  type        = object({ cpu = optional(number, 512), memory = optional(number, 1024) })
  default     = {}

  validation {
    condition     = contains([256, 512, 1024, 2048, 4096, 8192, 16384], var.size.cpu) && var.size.memory >= 2 * var.size.cpu && var.size.memory <= 8 * var.size.cpu
    error_message = "size has a cpu of 256, 512, 1024, 2048, 4096, 8192 or 16384, and a memory of 2 to 8 times that: Fargate knows no other pairs."
  }
}

variable "environment" {
  description = "The container's environment. No secrets."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Environment variables whose values ECS reads when it starts a task, from SSM parameters or Secrets Manager secrets given by ARN."
  type        = map(string)
  default     = {}
}

variable "secrets_kms_key_arns" {
  description = "Customer managed KMS keys that these are encrypted with."
  type        = list(string)
  default     = []
}

variable "statements" {
  description = "What the binary may do. Actions are written out; where AWS knows no resource but *, because says so."
  type = list(object({
    sid       = string
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
  }))
  default = []

  validation {
    condition     = alltrue([for s in var.statements : alltrue([for action in s.actions : !strcontains(action, "*")])])
    error_message = "No action may have a wildcard, as in ${join(", ", [for action in flatten(var.statements[*].actions) : action if strcontains(action, "*")])}: write out what is needed."
  }

  validation {
    condition     = alltrue([for s in var.statements : s.because != null || !contains(s.resources, "*")])
    error_message = "A statement on every resource needs a because, which ${join(", ", [for s in var.statements : s.sid if s.because == null && contains(s.resources, "*")])} lacks: say there why AWS knows no narrower one, or name the resources."
  }
}

variable "port" {
  description = "Where the binary serves; null for a worker that nobody calls."
  type        = number
  default     = null
}

variable "admin_port" {
  description = "Where the binary serves its health, metrics and administration, if not on port. Only the balancer's health check and admin_security_group_ids get there."
  type        = number
  default     = null
}

variable "admin_security_group_ids" {
  description = "Security groups that may reach admin_port, by name: the operators'."
  type        = map(string)
  default     = {}
}

variable "health_path" {
  description = "What answers 200 while a task can be sent requests."
  type        = string
  default     = "/readyz"
}

variable "listener" {
  description = "The balancer's listener and security group, and what of it comes here: paths or hosts, in the order of priority. Needed with port."
  type = object({
    arn               = string
    security_group_id = string
    priority          = number
    paths             = optional(list(string), [])
    hosts             = optional(list(string), [])
    sticky            = optional(bool, false)
  })
  default = null

  validation {
    condition     = var.listener == null ? true : length(var.listener.paths) + length(var.listener.hosts) > 0
    error_message = "listener has paths or hosts: a rule of a balancer wants a condition. Everything is paths = [\"/*\"]."
  }
}

variable "egress" {
  description = "Where tasks may connect to, by a name of yours. AWS and registries are reached on port 443."
  type        = map(object({ port = number, cidr = string }))
  default     = { https = { port = 443, cidr = "0.0.0.0/0" } }
}

variable "tasks" {
  description = "Bounds of the number of tasks, the CPU utilization in percent that is aimed at, and peaks known beforehand, each with a cron or at expression."
  type = object({
    min = optional(number, 2)
    max = optional(number, 10)
    cpu = optional(number, 60)
    peaks = optional(map(object({
      schedule = string
      timezone = optional(string, "UTC")
      min      = number
      max      = number
    })), {})
  })
  default = {}

  validation {
    condition     = alltrue([for bounds in concat([var.tasks], values(var.tasks.peaks)) : bounds.min <= bounds.max])
    error_message = "tasks' min is at most their max, and so is that of each peak."
  }

  validation {
    condition     = alltrue([for peak in values(var.tasks.peaks) : can(regex("^(cron|at|rate)\\(.+\\)$", peak.schedule))])
    error_message = "A peak's schedule is cron(...), rate(...) or at(...), such as cron(30 17 * * ? *)."
  }
}

variable "stop_timeout_seconds" {
  description = "How long a task may take to leave after SIGTERM: 2 to 120 s."
  type        = number
  default     = 60

  validation {
    condition     = var.stop_timeout_seconds >= 2 && var.stop_timeout_seconds <= 120
    error_message = "stop_timeout_seconds is 2 to 120."
  }
}

variable "file" {
  description = "A file that the binary reads, such as the proxy's routes, kept in an SSM parameter: its path, the parameter's ARN, its content's digest (a change starts new tasks), and the image with a shell that writes it before the binary starts."
  type = object({
    path          = string
    parameter_arn = string
    digest        = string
    writer_image  = optional(string, "public.ecr.aws/docker/library/busybox:1.37")
  })
  default = null
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for the logs; null is AWS's own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30
}

variable "wait_until_stable" {
  description = "Whether an apply waits for the new tasks, and fails when they are rolled back."
  type        = bool
  default     = true
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
