variable "function" {
  description = "The function that reads, as module function tells of it: its name, its alias' ARN, and its role."
  type = object({
    name      = string
    alias_arn = string
    role_name = string
  })
}

variable "source_arn" {
  description = "ARN of the Kinesis stream, or of the stream of a DynamoDB table."
  type        = string
}

variable "source_kms_key_arn" {
  description = "Customer managed KMS key that the stream is encrypted with, if any."
  type        = string
  default     = null
}

variable "settings" {
  description = "All that an event source mapping of a stream can be told. A window_seconds of 0 hands over what is there at once, whatever the batch size: a window for batches of more than 10 is asked of SQS only. The defaults never give up before the records expire: the function parks what it cannot handle, so a batch that still fails waits for its cause to go away."
  type = object({
    enabled                = optional(bool, true)
    starting_position      = optional(string, "TRIM_HORIZON")
    starting_timestamp     = optional(string)
    batch_size             = optional(number, 100)
    window_seconds         = optional(number, 1)
    parallelization_factor = optional(number, 1)
    retries                = optional(number, -1)
    max_record_age_seconds = optional(number, -1)
    bisect                 = optional(bool, true)
    tumbling_seconds       = optional(number, 0)
    filters                = optional(list(string), [])
  })
  default = {}

  validation {
    condition     = contains(["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"], var.settings.starting_position) && (var.settings.starting_timestamp != null) == (var.settings.starting_position == "AT_TIMESTAMP")
    error_message = "starting_position is TRIM_HORIZON, LATEST, or AT_TIMESTAMP with a starting_timestamp."
  }

  validation {
    condition     = var.settings.batch_size >= 1 && var.settings.batch_size <= 10000
    error_message = "batch_size is 1 to 10000."
  }

  validation {
    condition     = var.settings.window_seconds >= 0 && var.settings.window_seconds <= 300
    error_message = "window_seconds is 0 to 300."
  }

  validation {
    condition     = var.settings.parallelization_factor >= 1 && var.settings.parallelization_factor <= 10
    error_message = "parallelization_factor is 1 to 10."
  }

  validation {
    condition     = var.settings.retries >= -1 && var.settings.retries <= 10000
    error_message = "retries is 0 to 10000, or -1 for until the record expires."
  }

  validation {
    condition     = var.settings.max_record_age_seconds == -1 || (var.settings.max_record_age_seconds >= 60 && var.settings.max_record_age_seconds <= 604800)
    error_message = "max_record_age_seconds is 60 to 604800, or -1 for until the record expires."
  }

  validation {
    condition     = var.settings.tumbling_seconds >= 0 && var.settings.tumbling_seconds <= 900
    error_message = "tumbling_seconds is 0 to 900."
  }

  validation {
    condition     = var.settings.tumbling_seconds == 0 || var.settings.parallelization_factor == 1
    error_message = "Lambda allows no tumbling window with a parallelization_factor above 1."
  }
}

variable "iterator_age_alarm_seconds" {
  description = "How far behind the function may be before the alarm is raised."
  type        = number
  default     = 60
}

variable "kms_key_arn" {
  description = "Customer managed KMS key of the queue for batches given up; null is SQS's own encryption."
  type        = string
  default     = null
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
