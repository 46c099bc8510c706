variable "name" {
  description = "Name of the function."
  type        = string
  default     = "keep-warm"
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

variable "targets" {
  description = "What is kept warm, by a name of yours: the alias' ARN, and how many environments. Only functions that know pings: see package warm."
  type        = map(object({ alias_arn = string, environments = optional(number, 1) }))

  validation {
    condition     = length(var.targets) > 0 && alltrue([for target in values(var.targets) : target.environments >= 1])
    error_message = "targets has at least one function, with at least one environment of each."
  }
}

variable "hold" {
  description = "How long a ping holds its environment, as a duration."
  type        = string
  default     = "200ms"

  validation {
    condition     = can(regex("^[0-9.]+(ms|s)$", var.hold))
    error_message = "hold is a duration such as 200ms, at most 2s."
  }
}
