variable "name" {
  description = "Name of the function."
  type        = string
}

variable "description" {
  description = "What the function does, in a few words."
  type        = string
}

variable "function" {
  description = "What module function takes, for all operations functions alike."
  type = object({
    package = object({
      zip       = optional(string)
      s3_bucket = optional(string)
      s3_key    = optional(string)
    })
    architecture       = optional(string, "arm64")
    kms_key_arn        = optional(string)
    log_retention_days = optional(number, 30)
    alarm_topic_arns   = optional(list(string), [])
  })
}

variable "timeout_seconds" {
  description = "Longest that an invocation may take: 1 to 900 s."
  type        = number
}

variable "memory_mib" {
  description = "Memory in MiB."
  type        = number
  default     = 128
}

variable "reserved_concurrency" {
  description = "Most invocations at once; -1 is no limit of its own."
  type        = number
  default     = -1
}

variable "environment" {
  description = "The function's environment. No secrets."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "What the function may do, as module function takes it."
  type = list(object({
    sid       = string
    effect    = optional(string)
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
    conditions = optional(list(object({
      test     = string
      variable = string
      values   = list(string)
    })))
  }))
}

variable "asynchronous" {
  description = "How often and how long an event is tried again."
  type        = object({ retries = number, max_age_seconds = number })
}

variable "schedules" {
  description = "When the function is invoked, by a name: a rate or cron expression, and the input."
  type        = map(object({ expression = string, input = optional(string, "{}") }))
  default     = {}
}

variable "event_patterns" {
  description = "Events of EventBridge's default bus that invoke it, by a name, in JSON."
  type        = map(string)
  default     = {}
}

variable "topic_arns" {
  description = "SNS topics that invoke it, by a name."
  type        = map(string)
  default     = {}
}

variable "topic_regions" {
  description = "Regions of the topics that are not in the function's, by the same names."
  type        = map(string)
  default     = {}
}

variable "metric_alarms" {
  description = "Alarms on the function's own metrics in the namespace Banyan/Operations, by a name. Each is raised when the metric's statistic reaches the threshold in so many periods on end; or, with below, is less than that, or missing."
  type = map(object({
    metric     = string
    dimensions = map(string)
    statistic  = optional(string, "Sum")
    threshold  = optional(number, 1)
    below      = optional(bool, false)
    seconds    = optional(number, 300)
    periods    = optional(number, 1)
    why        = string
  }))
  default = {}
}
