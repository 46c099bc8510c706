variable "name" {
  description = "Name of the function; one for each outbox table."
  type        = string
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

variable "outbox" {
  description = "The outbox table, with its stream of changes (KEYS_ONLY will do). The function may read and delete its items."
  type = object({
    name        = string
    arn         = string
    stream_arn  = string
    kms_key_arn = optional(string)
  })

  validation {
    condition     = var.outbox.stream_arn != null
    error_message = "The outbox has no stream of changes, which wakes the relay: give its table a stream_view_type, such as KEYS_ONLY."
  }
}

variable "stream" {
  description = "The stream to publish to, as module stream tells of it."
  type = object({
    name = string
    publishing = list(object({
      sid       = string
      actions   = list(string)
      resources = list(string)
    }))
  })
}

variable "dead_letters" {
  description = "Table of dead letters. The function writes items there, and reads them for a redrive."
  type = object({
    name        = string
    arn         = string
    kms_key_arn = optional(string)
  })
}

variable "layers" {
  description = "ARNs of the versions of layers whose files the relay finds below /opt, such as the document that SCHEMAS names."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "More of the function's environment: CONCURRENCY, CLAIM, SCHEMAS, LOG_LEVEL. No secrets."
  type        = map(string)
  default     = {}
}

variable "mapping" {
  description = "Settings of the event source mapping; see module mapping, whose defaults these are, too."
  type = object({
    enabled                = optional(bool)
    starting_position      = optional(string)
    starting_timestamp     = optional(string)
    batch_size             = optional(number)
    window_seconds         = optional(number)
    parallelization_factor = optional(number)
    retries                = optional(number)
    max_record_age_seconds = optional(number)
    bisect                 = optional(bool)
    tumbling_seconds       = optional(number)
    filters                = optional(list(string))
  })
  default = {}
}

variable "timeout_seconds" {
  description = "Longest that an invocation may take: 1 to 900 s."
  type        = number
  default     = 60
}

variable "memory_mib" {
  description = "Memory in MiB, with which the share of CPU grows."
  type        = number
  default     = 512
}

variable "reserved_concurrency" {
  description = "Most invocations at once; -1 is no limit of its own."
  type        = number
  default     = -1
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for environment, logs and queue; null is AWS's own."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept, in days."
  type        = number
  default     = 30
}

variable "iterator_age_alarm_seconds" {
  description = "How far behind the relay may be before the alarm is raised."
  type        = number
  default     = 60
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
