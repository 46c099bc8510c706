variable "name" {
  description = "Name of the function."
  type        = string
}

variable "description" {
  description = "What the consumer keeps, in a few words."
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

variable "stream_arn" {
  description = "ARN of the stream that is read."
  type        = string
}

variable "stream_kms_key_arn" {
  description = "Customer managed KMS key that the stream is encrypted with, if any."
  type        = string
  default     = null
}

variable "tables" {
  description = "The tables that it writes, none or several, each by the environment variable that names it. The function may read and write their items, and query the indexes named here; it may not scan, change or delete a table."
  type = map(object({
    name        = string
    arn         = string
    indexes     = optional(list(string), [])
    kms_key_arn = optional(string)
  }))
  default = {}
}

variable "dead_letters" {
  description = "Table of dead letters, DEAD_LETTER_TABLE in the environment, with expires for its time to live. The function writes items there, and reads them for a redrive. null: it writes none (ON_FAILURE is halt), and a batch that it gives up ends in the mapping's queue."
  type = object({
    name        = string
    arn         = string
    kms_key_arn = optional(string)
  })
  default = null
}

variable "metrics_namespace" {
  description = "Namespace of the metrics that the function writes, METRICS_NAMESPACE in its environment; the alarm on its dead letters watches it there."
  type        = string
  default     = "Banyan/Consumers"
}

variable "environment" {
  description = "More of the function's environment: CONCURRENCY, ATTEMPTS, HANDLER_TIMEOUT, EVENT_SHARE, MARGIN, LOG_LEVEL, and what the consumer itself knows. No secrets."
  type        = map(string)
  default     = {}
}

variable "statements" {
  description = "What else the function may do, as module function takes it."
  type = list(object({
    sid       = string
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
  }))
  default = []
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
  description = "Most invocations at once; -1 is no limit of its own. Less than shards times parallelization factor throttles the mapping."
  type        = number
  default     = -1
}

variable "provisioned_concurrency" {
  description = "Instances kept warm, as module function takes it. A consumer seldom needs it: nobody waits for its first answer."
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
  description = "How far behind the consumer may be before the alarm is raised."
  type        = number
  default     = 60
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
