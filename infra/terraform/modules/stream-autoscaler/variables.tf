variable "name" {
  description = "Name of the function."
  type        = string
  default     = "stream-autoscaler"
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

variable "streams" {
  description = "The provisioned streams it scales, by a name of yours, with their bounds. Each needs the shard-level metrics IncomingBytes, IncomingRecords and WriteProvisionedThroughputExceeded."
  type = map(object({
    name = string
    arn  = string
    min  = number
    max  = number
  }))

  validation {
    condition     = length(var.streams) > 0 && alltrue([for stream in values(var.streams) : stream.min >= 1 && stream.min <= stream.max])
    error_message = "streams has at least one stream, each with a min of 1 to its max."
  }
}

variable "topic_arns" {
  description = "SNS topics with alarms of these streams, by a name: it then looks at once, and not within a minute."
  type        = map(string)
  default     = {}
}

variable "dry_run" {
  description = "Whether it changes nothing, and only reports what it would."
  type        = bool
  default     = false
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table of states."
  type        = bool
  default     = false
}
