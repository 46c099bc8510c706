variable "name" {
  description = "Name of the polling function; the others have it with what they do behind it."
  type        = string
  default     = "sqsloop"
}

variable "packages" {
  description = "First code of the four functions: sqsloop, sqsloop-scale-up, sqsloop-scale-down and sqsloop-restart, each as module function takes it."
  type = map(object({
    zip       = optional(string)
    s3_bucket = optional(string)
    s3_key    = optional(string)
  }))

  validation {
    condition     = toset(keys(var.packages)) == toset(["sqsloop", "sqsloop-restart", "sqsloop-scale-down", "sqsloop-scale-up"])
    error_message = "packages are sqsloop, sqsloop-restart, sqsloop-scale-down and sqsloop-scale-up."
  }
}

variable "function" {
  description = "What all operations functions have alike, as module operation takes it."
  type = object({
    architecture       = optional(string, "arm64")
    kms_key_arn        = optional(string)
    log_retention_days = optional(number, 30)
    alarm_topic_arns   = optional(list(string), [])
  })
}

variable "queues" {
  description = "The queues it polls, by a name of yours: the bounds of their loops, the alias of the function that handles messages, the name of the dead-letter queue of its redrive policy, on which there is an alarm then, the numbers of waiting messages that add a loop each, and the age of a message that people are told of. A queue may be in another region, but not where the loops are in one that has to be enabled: name the region. It then needs alarm_topic_arns there, for people (or none, which is []), and, where all is encrypted, a kms_key_arn there, of the queue and its topics, that cloudwatch.amazonaws.com and sns.amazonaws.com may use."
  type = map(object({
    url                = string
    arn                = string
    region             = optional(string)
    handler_arn        = string
    min                = optional(number, 1)
    max                = optional(number, 10)
    visibility_seconds = optional(number, 60)
    dead_letter_queue  = optional(string)
    steps              = optional(list(number), [1000, 5000, 20000])
    oldest_seconds     = optional(number, 900)
    alarm_topic_arns   = optional(list(string))
    kms_key_arn        = optional(string)
  }))

  validation {
    condition     = length(var.queues) > 0 && alltrue([for queue in values(var.queues) : queue.min >= 0 && queue.max >= 1 && queue.min <= queue.max])
    error_message = "queues has at least one queue, each with a max of 1 or more, and a min of 0 to that."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : !endswith(queue.arn, ".fifo")])
    error_message = "Loops do not poll FIFO queues: use an event source mapping."
  }

  validation {
    condition     = alltrue([for queue in values(var.queues) : can(regex("^arn:[^:]+:lambda:[^:]+:[0-9]+:function:[^:]+:[^:]+$", queue.handler_arn))])
    error_message = "handler_arn is the ARN of a function's alias: arn:aws:lambda:REGION:ACCOUNT:function:NAME:ALIAS."
  }
}

variable "reserved_concurrency" {
  description = "Most turns at once: the sum of the queues' most loops, and a few for turns that overlap. It bounds a mistake, since Lambda's own guard against recursion is off for this function."
  type        = number
}

variable "allow_recursion" {
  description = "Whether Lambda is told that the function may invoke itself. Without it every loop ends after some 16 turns, and only the restart function goes on."
  type        = bool
  default     = true
}
