variable "name" {
  description = "Name of the stream."
  type        = string
}

variable "mode" {
  description = "ON_DEMAND, which scales by itself, or PROVISIONED, with a number of shards."
  type        = string
  default     = "ON_DEMAND"

  validation {
    condition     = contains(["ON_DEMAND", "PROVISIONED"], var.mode)
    error_message = "mode is ON_DEMAND or PROVISIONED."
  }
}

variable "shards" {
  description = "Shards of a PROVISIONED stream when it is made: 1 MiB/s or 1,000 records/s each. Later changes are the autoscaler's, or yours by UpdateShardCount, and are not put back. null is 1 of a PROVISIONED stream, and what Kinesis decides of one that is ON_DEMAND."
  type        = number
  default     = null
}

variable "retention_hours" {
  description = "How long records stay readable: 24 to 8,760 hours. It is also how long a consumer may be broken before anything is lost."
  type        = number
  default     = 168

  validation {
    condition     = var.retention_hours >= 24 && var.retention_hours <= 8760
    error_message = "retention_hours is 24 to 8760."
  }
}

variable "kms_key_arn" {
  description = "Customer managed KMS key that records are encrypted with; null is AWS's own key for Kinesis. Publishers then need kms:GenerateDataKey on it, and consumers kms:Decrypt."
  type        = string
  default     = null
}

variable "max_record_size_kib" {
  description = "Largest record in KiB, 1024 to 10240; null leaves Kinesis' own 1024."
  type        = number
  default     = null
}

variable "shard_level_metrics" {
  description = "Metrics kept for each shard, which CloudWatch charges for. The autoscaler needs IncomingBytes and IncomingRecords."
  type        = list(string)
  default     = []
}

variable "write_throttles_alarm" {
  description = "Refused records in five minutes from which on the alarm is raised."
  type        = number
  default     = 1
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms tell when they are raised and when they end."
  type        = list(string)
  default     = []
}
