variable "name" {
  description = "What the names of both functions, the stream and the queues begin with."
  type        = string
}

variable "packages" {
  description = "First code of log-subscriber and log-shipper, each as module function takes it."
  type = map(object({
    zip       = optional(string)
    s3_bucket = optional(string)
    s3_key    = optional(string)
  }))

  validation {
    condition     = toset(keys(var.packages)) == toset(["log-shipper", "log-subscriber"])
    error_message = "packages are log-shipper and log-subscriber."
  }
}

variable "function" {
  description = "What both functions have alike, as module operation takes it, without their packages."
  type = object({
    architecture       = optional(string, "arm64")
    kms_key_arn        = optional(string)
    log_retention_days = optional(number, 30)
    alarm_topic_arns   = optional(list(string), [])
  })
}

variable "opensearch" {
  description = "The domain that logs are shipped to: its endpoint's URL, its ARN, and the prefix of the indexes. It signs by IAM; the domain's own policy has to let the shipper's role in."
  type = object({
    url          = string
    arn          = string
    index        = optional(string, "logs")
    put_template = optional(bool, true)
  })

  validation {
    condition     = startswith(var.opensearch.url, "https://") && can(regex("^arn:[^:]+:es:[^:]*:[0-9]*:domain/[^/]+$", var.opensearch.arn))
    error_message = "opensearch has the https:// URL of the domain's endpoint, and the domain's ARN: arn:aws:es:REGION:ACCOUNT:domain/NAME."
  }
}

variable "stream" {
  description = "Shards and retention of the stream for logs. With autoscaled, name it in module stream-autoscaler."
  type = object({
    mode            = optional(string, "ON_DEMAND")
    shards          = optional(number)
    retention_hours = optional(number, 24)
    autoscaled      = optional(bool, false)
  })
  default = {}
}

variable "include" {
  description = "Log groups that are subscribed; * matches anything."
  type        = list(string)
  default     = ["*"]
}

variable "exclude" {
  description = "Log groups that are left alone, and win over include: those of flow logs of the shipper's network, and of trails with data events of the stream, would go round in circles."
  type        = list(string)
  default     = []
}

variable "retention" {
  description = "Retention that is set on groups that have none, in days, 0 for none; and the groups that keep everything."
  type        = object({ days = optional(number, 30), exclude = optional(list(string), []) })
  default     = {}
}

variable "dry_run" {
  description = "Whether the subscriber changes nothing, and only reports what it would."
  type        = bool
  default     = false
}

variable "by_event" {
  description = "Whether new groups are subscribed when CloudTrail tells of them, for which a trail of management events is needed. Without it, the back-fill finds them within the hour."
  type        = bool
  default     = true
}
