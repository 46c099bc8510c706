variable "name" {
  description = "Name of the function."
  type        = string
  default     = "janitor"
}

variable "function" {
  description = "The function's first code, and what all operations functions have alike, as module operation takes it."
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

variable "schedule" {
  description = "When it sweeps."
  type        = string
  default     = "rate(1 hour)"

  validation {
    condition     = can(regex("^(cron|rate)\\(.+\\)$", var.schedule))
    error_message = "schedule is rate(...) or cron(...), such as rate(1 hour)."
  }
}

variable "idle_days" {
  description = "Days on end without a look at a function or layer of which people are told, 1 to 7. With a schedule that is rarer than daily, more than the days between. The alarm is raised until the first sweep."
  type        = number
  default     = 1

  validation {
    condition     = contains(range(1, 8), var.idle_days)
    error_message = "idle_days is 1 to 7: CloudWatch looks back no further."
  }
}

variable "dry_run" {
  description = "Whether it deletes nothing, and only reports what it would."
  type        = bool
  default     = false
}

variable "keep" {
  description = "Newest versions that are kept of each function and layer."
  type        = number
  default     = 3

  validation {
    condition     = var.keep >= 0
    error_message = "keep is 0 or more."
  }
}

variable "aliases" {
  description = "Deletes aliases, where each deployment makes one of its own: those that nobody invoked for so many days, that point to a version as old and are not among the newest of their function, nor named in except. null: none."
  type = object({
    days   = number
    keep   = optional(number, 10)
    except = optional(list(string), ["live"])
  })
  default = null

  validation {
    condition     = var.aliases == null ? true : contains(range(1, 401), var.aliases.days) && var.aliases.keep >= 1
    error_message = "aliases' days are 1 to 400, and it keeps 1 or more."
  }
}

variable "except" {
  description = "Functions and layers that are left alone, such as those that somebody invokes by a version's number; * is allowed."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "More of its environment: JANITOR_GRACE, JANITOR_RATE, LOG_LEVEL."
  type        = map(string)
  default     = {}
}
