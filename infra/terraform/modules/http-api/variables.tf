variable "name" {
  description = "Name of the function, and of the API."
  type        = string
}

variable "description" {
  description = "What the service does, in a few words."
  type        = string
  default     = ""
}

variable "package" {
  description = "The function's first code, as module function takes it."
  type = object({
    zip       = optional(string)
    s3_bucket = optional(string)
    s3_key    = optional(string)
  })
}

variable "architecture" {
  description = "arm64 or x86_64; the binary has to be built for it."
  type        = string
  default     = "arm64"
}

variable "environment" {
  description = "The function's environment. No secrets, but references to them: see output references of module config."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "What the function may do besides writing its logs, as module function takes it."
  type = list(object({
    sid       = string
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
  }))
  default = []
}

variable "routes" {
  description = "What the API hands to the function, as API Gateway writes it: $default for everything, or a method and a path such as GET /v1/timelines/{userId}. The rest is answered with 404 by API Gateway."
  type        = set(string)
  default     = ["$default"]

  validation {
    condition     = length(var.routes) > 0 && alltrue([for route in var.routes : can(regex("^(\\$default|(ANY|DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT) /\\S*)$", route))])
    error_message = "routes are $default, or a method (or ANY), a space and a path that begins with a slash, such as GET /v1/timelines/{userId}."
  }
}

variable "throttling" {
  description = "Requests a second on average, and at once, from which on API Gateway answers 429 without asking the function. It shares the account's limits with all other APIs of the region."
  type        = object({ rate = optional(number, 500), burst = optional(number, 250) })
  default     = {}

  validation {
    condition     = var.throttling.rate > 0 && var.throttling.burst > 0
    error_message = "throttling's rate and burst are above 0: at 0 API Gateway refuses every request."
  }
}

variable "timeout_seconds" {
  description = "Longest that a request may take: 1 to 29 s."
  type        = number
  default     = 10

  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds <= 29
    error_message = "timeout_seconds is 1 to 29: API Gateway waits for 30 s at most."
  }
}

variable "memory_mib" {
  description = "Memory in MiB, with which the share of CPU grows, and a cold start gets shorter."
  type        = number
  default     = 512
}

variable "reserved_concurrency" {
  description = "Most requests at once; -1 is no limit of its own."
  type        = number
  default     = -1
}

variable "provisioned_concurrency" {
  description = "Instances kept warm, as module function takes it, where a first answer must never be slow. See module keep-warm for where it may be, now and then."
  type = object({
    min         = number
    max         = number
    utilization = optional(number)
    peaks = optional(map(object({
      schedule = string
      timezone = optional(string)
      min      = number
      max      = number
    })))
  })
  default = null
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for environment and logs; null is AWS's own. Its policy has to let CloudWatch Logs use it."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long the function's and the API's logs are kept, in days."
  type        = number
  default     = 30
}

variable "alarms" {
  description = "Answers of 500 and above in a minute, and milliseconds that one request of a hundred takes, from which on the API's alarms are raised."
  type        = object({ failures = optional(number, 5), latency_ms = optional(number, 2000) })
  default     = {}
}

variable "function_alarms" {
  description = "When the function's alarms are raised, as module function takes it."
  type = object({
    errors    = optional(number)
    throttles = optional(number)
    minutes   = optional(number)
  })
  default = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
