variable "name" {
  description = "Name of the dashboard."
  type        = string
}

variable "stream" {
  description = "Name of the stream."
  type        = string
}

variable "consumers" {
  description = "Functions of the consumers, and of relays."
  type        = list(string)
  default     = []
}

variable "metrics_namespaces" {
  description = "Namespaces of the consumers whose metrics are not in Banyan/Consumers, by the function's name."
  type        = map(string)
  default     = {}
}

variable "functions" {
  description = "Other functions."
  type        = list(string)
  default     = []
}

variable "tables" {
  description = "The tables."
  type        = list(string)
  default     = []
}

variable "services" {
  description = "The services behind a balancer: their name, and the balancer's and the target group's names in CloudWatch's metrics."
  type        = map(object({ balancer = string, target_group = string }))
  default     = {}
}

variable "apis" {
  description = "The services behind an HTTP API: their name, and the API's id."
  type        = map(string)
  default     = {}
}
