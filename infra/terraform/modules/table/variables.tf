variable "name" {
  description = "Name of the table."
  type        = string
}

variable "hash_key" {
  description = "Partition key: its name, and its type S, N or B."
  type        = object({ name = string, type = optional(string, "S") })
  default     = { name = "pk" }
}

variable "range_key" {
  description = "Sort key, or null for none."
  type        = object({ name = string, type = optional(string, "S") })
  default     = null
}

variable "indexes" {
  description = "Global secondary indexes by name. projected names the attributes besides the keys; null is all of them."
  type = map(object({
    hash_key  = object({ name = string, type = optional(string, "S") })
    range_key = optional(object({ name = string, type = optional(string, "S") }))
    projected = optional(list(string))
  }))
  default = {}
}

variable "ttl_attribute" {
  description = "Attribute with the time in seconds at which an item expires, or null for none."
  type        = string
  default     = null
}

variable "stream_view_type" {
  description = "KEYS_ONLY, NEW_IMAGE, OLD_IMAGE or NEW_AND_OLD_IMAGES to have a stream of changes, or null for none."
  type        = string
  default     = null
}

variable "point_in_time_recovery" {
  description = "Whether the table can be restored to any second of the last 35 days."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Whether DynamoDB refuses to delete the table. Turn it off, apply, and only then destroy."
  type        = bool
  default     = true
}

variable "kms_key_arn" {
  description = "Customer managed KMS key that the table is encrypted with; null is AWS's own key for DynamoDB. Whoever uses the table then needs kms:Decrypt on it."
  type        = string
  default     = null
}

variable "on_demand_limits" {
  description = "Most request units a second of an on-demand table, as a bound of its cost; -1 is none."
  type        = object({ read = optional(number, -1), write = optional(number, -1) })
  default     = {}
}

variable "warm_throughput" {
  description = "Request units a second that the table takes at once, for a load that is known beforehand, such as a copy; a new table on demand takes 12000 reads and 4000 writes. Null leaves them. For a table that is made: AWS never lowers them, and an existing table is given them with UpdateTable."
  type        = object({ read = optional(number), write = optional(number) })
  default     = null
}

variable "provisioned" {
  description = "Capacity units with application autoscaling, instead of on-demand: the bounds, the utilization in percent that is aimed at, and peaks known beforehand, each with a cron or at expression. For tables without indexes."
  type = object({
    read        = object({ min = number, max = number })
    write       = object({ min = number, max = number })
    utilization = optional(number, 70)
    peaks = optional(map(object({
      schedule  = string
      timezone  = optional(string, "UTC")
      read_min  = optional(number)
      read_max  = optional(number)
      write_min = optional(number)
      write_max = optional(number)
    })), {})
  })
  default = null

  validation {
    condition     = var.provisioned == null ? true : alltrue([for bounds in [var.provisioned.read, var.provisioned.write] : bounds.min >= 1 && bounds.min <= bounds.max])
    error_message = "provisioned's read and write have a min of 1 to their max."
  }

  validation {
    condition     = var.provisioned == null ? true : var.provisioned.utilization >= 20 && var.provisioned.utilization <= 90
    error_message = "provisioned's utilization is 20 to 90 percent."
  }

  validation {
    condition     = var.provisioned == null ? true : alltrue([for peak in values(var.provisioned.peaks) : anytrue([for bound in [peak.read_min, peak.read_max, peak.write_min, peak.write_max] : bound != null])])
    error_message = "A peak moves a bound: give each of them read_min, read_max, write_min or write_max."
  }

  validation {
    condition     = var.provisioned == null ? true : alltrue([for peak in values(var.provisioned.peaks) : can(regex("^(cron|at|rate)\\(.+\\)$", peak.schedule))])
    error_message = "A peak's schedule is cron(...), rate(...) or at(...), such as cron(30 17 * * ? *)."
  }
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
