variable "name" {
  description = "Name of the load balancer, at most 32 characters."
  type        = string

  validation {
    condition     = can(regex("^[a-zA-Z0-9]([a-zA-Z0-9-]{0,30}[a-zA-Z0-9])?$", var.name)) && !startswith(var.name, "internal-")
    error_message = "name is 1 to 32 letters, digits and hyphens, does not begin with internal-, and has no hyphen at an end."
  }
}

variable "internal" {
  description = "Whether it can be reached from the network only."
  type        = bool
  default     = true
}

variable "network" {
  description = "The network, and its subnets for the balancer: public ones unless it is internal, in at least two zones."
  type = object({
    vpc_id     = string
    subnet_ids = list(string)
  })

  validation {
    condition     = length(var.network.subnet_ids) >= 2
    error_message = "network has at least two subnets, in different zones: a load balancer wants them."
  }
}

variable "certificate_arn" {
  description = "Certificate for HTTPS on port 443. null is plain HTTP on port 80, for an internal balancer only."
  type        = string
  default     = null
}

variable "allowed_cidrs" {
  description = "Addresses that may connect."
  type        = list(string)
}

variable "access_log_bucket" {
  description = "S3 bucket for access logs, or null for none. Its policy has to let the load balancer's service write."
  type        = string
  default     = null
}

variable "idle_timeout_seconds" {
  description = "How long a connection may be silent."
  type        = number
  default     = 60
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the balancer."
  type        = bool
  default     = true
}

variable "drop_invalid_headers" {
  description = "Whether headers with other characters than letters, digits and hyphens are dropped. Old clients may send such, with an underscore for instance: then say false."
  type        = bool
  default     = true
}
