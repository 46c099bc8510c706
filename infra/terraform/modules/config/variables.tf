variable "prefix" {
  description = "Path that all names begin with, such as /banyan/production."
  type        = string

  validation {
    condition     = startswith(var.prefix, "/") && !endswith(var.prefix, "/")
    error_message = "prefix begins with a slash and ends without one."
  }
}

variable "settings" {
  description = "Settings by their name below the prefix, with their values. No secrets."
  type        = map(string)
  default     = {}
}

variable "secrets" {
  description = "Names below the prefix of secrets that are kept as SecureString. Terraform makes them with the value unset and never sees another: put it by aws ssm put-parameter --overwrite --type SecureString --key-id alias/..., or else the key is another one."
  type        = set(string)
  default     = []
}

variable "mongodb" {
  description = "Keep the MongoDB URI in Secrets Manager below the prefix as mongodb-uri. Its value is put by aws secretsmanager put-secret-value, or by the function that rotates it every days. null is no such secret."
  type = object({
    recovery_days = optional(number, 30)
    rotation      = optional(object({ function_arn = string, days = optional(number, 30) }))
  })
  default = null
}

variable "key_deletion_days" {
  description = "How long the deletion of the KMS key can be taken back: 7 to 30 days."
  type        = number
  default     = 30
}

variable "key_users" {
  description = "AWS services that use the key by themselves in this account, such as cloudwatch.amazonaws.com when it tells a topic that is encrypted with it."
  type        = list(string)
  default     = []
}
