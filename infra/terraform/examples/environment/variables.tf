variable "name" {
  description = "Name of the environment; all names begin with it."
  type        = string
  default     = "banyan-example"

  validation {
    condition     = can(regex("^[a-z]([a-z0-9-]{0,12}[a-z0-9])?$", var.name))
    error_message = "name is 1 to 14 lowercase letters, digits and hyphens, and begins with a letter: with -relationships, a service's name has room for no more."
  }
}

variable "region" {
  description = "The region."
  type        = string
  default     = "us-east-1"
}

variable "functions" {
  description = "Folder with the functions' packages for arm64, as <function>.zip."
  type        = string

  validation {
    condition     = fileexists("${var.functions}/profile.zip")
    error_message = "There is no profile.zip in ${var.functions}: build the packages by make functions, which puts them into bin/dist/arm64."
  }
}

variable "image_registry" {
  description = "Where the containers' images are, as <registry>/<binary>:<image_tag>."
  type        = string
}

variable "image_tag" {
  description = "Tag of the images."
  type        = string
}

variable "certificate_arn" {
  description = "Certificate of the name that mobile clients call."
  type        = string

  validation {
    condition     = can(regex("^arn:[^:]+:acm:[^:]+:[0-9]+:certificate/", var.certificate_arn))
    error_message = "certificate_arn is the ARN of a certificate of ACM in the region: arn:aws:acm:REGION:ACCOUNT:certificate/ID."
  }
}

variable "monolith_url" {
  description = "Where the monolith answers, from inside of the network."
  type        = string

  validation {
    condition     = can(regex("^https?://[^/]+", var.monolith_url))
    error_message = "monolith_url begins with http:// or https://."
  }
}

variable "vpc_id" {
  description = "The network; null is the region's default one."
  type        = string
  default     = null
}

variable "public_subnet_ids" {
  description = "Subnets of the public balancer; null is all of the network's, as fits the default one."
  type        = list(string)
  default     = null
}

variable "private_subnet_ids" {
  description = "Subnets of everything else; null is all of the network's."
  type        = list(string)
  default     = null
}

variable "queue_handler_arn" {
  description = "Alias of a function that handles the messages of a queue, which is then made and polled by loops. null is no such queue."
  type        = string
  default     = null
}

variable "queue_elsewhere" {
  description = "Another region with a queue that the loops poll too, and the topics there that tell people of its alarms. null is no such queue."
  type        = object({ region = string, alarm_topic_arns = optional(list(string), []) })
  default     = null
}

variable "opensearch" {
  description = "The OpenSearch domain that logs are shipped to: the URL of its endpoint, and its ARN. null ships none."
  type        = object({ url = string, arn = string })
  default     = null
}

variable "search" {
  description = "The OpenSearch domain with the search index: the URL of its endpoint, and its ARN. Its own policy has to let the roles of both functions in. null is no search."
  type        = object({ url = string, arn = string })
  default     = null
}

variable "push" {
  description = "Notifications by push: key, team and topic of Apple's, and whom web push services may write to, as mailto: or https:. The keys are the secrets apns-key, fcm-credentials and vapid-key. null notifies nobody."
  type        = object({ apns = object({ key_id = string, team_id = string, topic = string }), vapid_subject = string })
  default     = null
}

variable "schemas" {
  description = "A zip with asyncapi.json, the AsyncAPI document of the types of events, by which the archive becomes rows for a data warehouse. null makes none."
  type        = string
  default     = null
}

variable "alarm_email" {
  description = "Who is told of alarms, or null for nobody yet."
  type        = string
  default     = null
}

variable "protect" {
  description = "Whether tables and balancers are protected from deletion, and secrets kept for 30 days. An environment that comes and goes says false."
  type        = bool
  default     = true
}

variable "wait_until_stable" {
  description = "Whether an apply waits until new tasks are healthy."
  type        = bool
  default     = true
}
