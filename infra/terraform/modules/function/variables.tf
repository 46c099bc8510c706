variable "name" {
  description = "Name of the function."
  type        = string
}

variable "description" {
  description = "What the function does, in a few words."
  type        = string
  default     = ""
}

variable "package" {
  description = "The function's first code: a zip with an executable named bootstrap, as a local path, or as an object in S3. Later code comes by a deployment, and is not put back."
  type = object({
    zip       = optional(string)
    s3_bucket = optional(string)
    s3_key    = optional(string)
  })

  validation {
    condition     = (var.package.zip != null) != (var.package.s3_bucket != null && var.package.s3_key != null)
    error_message = "package has a zip, or s3_bucket and s3_key, and not both."
  }
}

variable "architecture" {
  description = "arm64 or x86_64; the binary has to be built for it."
  type        = string
  default     = "arm64"
}

variable "layers" {
  description = "ARNs of the versions of layers whose files the function finds below /opt."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "The function's environment. No secrets: whoever may read the function's configuration sees it."
  type        = map(string)
  default     = {}
}

variable "kms_key_arn" {
  description = "Customer managed KMS key for the environment and the logs; null is AWS's own. Its policy has to let CloudWatch Logs use it."
  type        = string
  default     = null
}

variable "timeout_seconds" {
  description = "Longest that an invocation may take: 1 to 900 s."
  type        = number
  default     = 30
}

variable "memory_mib" {
  description = "Memory in MiB, with which the share of CPU grows."
  type        = number
  default     = 512
}

variable "reserved_concurrency" {
  description = "Most invocations at once, set aside from the account's; -1 is no limit of its own."
  type        = number
  default     = -1
}

variable "provisioned_concurrency" {
  description = "Instances of the alias kept warm: the bounds, the utilization from 0.1 to 0.9 that is aimed at, and peaks known beforehand, each with a cron or at expression."
  type = object({
    min         = number
    max         = number
    utilization = optional(number, 0.7)
    peaks = optional(map(object({
      schedule = string
      timezone = optional(string, "UTC")
      min      = number
      max      = number
    })), {})
  })
  default = null

  validation {
    condition     = var.provisioned_concurrency == null ? true : alltrue([for bounds in concat([var.provisioned_concurrency], values(var.provisioned_concurrency.peaks)) : bounds.min >= 0 && bounds.min <= bounds.max])
    error_message = "provisioned_concurrency's min is 0 to max, and so is that of each peak."
  }

  validation {
    condition     = var.provisioned_concurrency == null ? true : var.provisioned_concurrency.utilization >= 0.1 && var.provisioned_concurrency.utilization <= 0.9
    error_message = "provisioned_concurrency's utilization is 0.1 to 0.9."
  }

  validation {
    condition     = var.provisioned_concurrency == null ? true : alltrue([for peak in values(var.provisioned_concurrency.peaks) : can(regex("^(cron|at|rate)\\(.+\\)$", peak.schedule))])
    error_message = "A peak's schedule is cron(...), rate(...) or at(...), such as cron(30 17 * * ? *)."
  }
}

variable "statements" {
  description = "What the function may do besides writing its logs. Actions are written out; where AWS knows no resource but *, because says so."
  type = list(object({
    sid       = string
    effect    = optional(string, "Allow")
    actions   = list(string)
    resources = list(string)
    because   = optional(string)
    conditions = optional(list(object({
      test     = string
      variable = string
      values   = list(string)
    })), [])
  }))
  default = []

  validation {
    condition     = alltrue([for s in var.statements : alltrue([for action in s.actions : !strcontains(action, "*")])])
    error_message = "No action may have a wildcard, as in ${join(", ", [for action in flatten(var.statements[*].actions) : action if strcontains(action, "*")])}: write out what is needed."
  }

  validation {
    condition     = alltrue([for s in var.statements : s.because != null || !contains(s.resources, "*")])
    error_message = "A statement on every resource needs a because, which ${join(", ", [for s in var.statements : s.sid if s.because == null && contains(s.resources, "*")])} lacks: say there why AWS knows no narrower one, or name the resources."
  }
}

variable "asynchronous" {
  description = "What becomes of events that were sent without waiting (by a schedule, by SNS): how often and how long they are tried again, and the ARN of the queue or topic that gets those given up. Needed rights are added."
  type = object({
    retries         = optional(number, 2)
    max_age_seconds = optional(number, 21600)
    on_failure_arn  = optional(string)
  })
  default = null
}

variable "alias" {
  description = "Name of the alias that is invoked. Deployments move it; Terraform makes it and leaves it."
  type        = string
  default     = "live"
}

variable "log_retention_days" {
  description = "How long logs are kept, in days that CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731 and so on."
  type        = number
  default     = 30
}

variable "alarms" {
  description = "Errors and throttled invocations in a minute from which on the alarms are raised, and for how many of five minutes. Deployments watch these alarms, too."
  type = object({
    errors    = optional(number, 1)
    throttles = optional(number, 1)
    minutes   = optional(number, 2)
  })
  default = {}
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
