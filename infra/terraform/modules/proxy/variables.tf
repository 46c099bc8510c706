variable "name" {
  description = "Name of the service, at most 28 characters."
  type        = string
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

variable "architecture" {
  description = "arm64 or x86_64; the image has to be built for it."
  type        = string
  default     = "arm64"
}

variable "size" {
  description = "CPU units (1024 are one) and memory in MiB of a task, in a pair that Fargate knows."
  type        = object({ cpu = optional(number, 512), memory = optional(number, 1024) })
  default     = {}
}

variable "routes" {
  description = "The route file's content, and the name of the SSM parameter to keep it in. null is a route file in the image, or in S3 where the role of output container may read it, named by BANYAN_ROUTES in environment."
  type = object({
    content   = string
    parameter = string
  })
  default = null
}

variable "environment" {
  description = "The proxy's environment: the addresses that the route file names. No secrets."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Environment variables whose values ECS reads when it starts a task, from SSM parameters or Secrets Manager secrets given by ARN. BANYAN_PROXY_ADMIN_TOKEN opens the operators' API on admin_port; without it, health checks alone are answered."
  type        = map(string)
  default     = {}
}

variable "secrets_kms_key_arns" {
  description = "Customer managed KMS keys that these are encrypted with."
  type        = list(string)
  default     = []
}

variable "table" {
  description = "DynamoDB table (keys pk and sk, ttl_attribute expires) in which proxies share how far a subject's writes are, overrides of routes, and what guards count; null is each for itself."
  type        = object({ name = string, arn = string })
  default     = null
}

variable "statements" {
  description = "What the proxies may do besides, such as dynamodb:GetItem on the control table for routes that follow an entity."
  type = list(object({
    sid       = string
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
  }))
  default = []
}

variable "listener" {
  description = "The public balancer's listener and security group, and where in its rules the proxy stands. sticky keeps a client on one proxy by a cookie, for clients that keep cookies."
  type = object({
    arn               = string
    security_group_id = string
    priority          = optional(number, 1000)
    sticky            = optional(bool, true)
  })
}

variable "admin_security_group_ids" {
  description = "Security groups that may reach admin_port, by name: the operators'."
  type        = map(string)
  default     = {}
}

variable "egress" {
  description = "Where proxies may connect to, by a name of yours: the monolith and the new APIs, and AWS on port 443."
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
