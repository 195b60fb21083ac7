# What a deployment decides. Nothing here is a secret; secrets are named by ARN and never read by Terraform.

variable "name" {
  description = "Name of the function, and prefix of everything else."
  type        = string
  default     = "dizzy-keys"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, 2 to 31 characters: it becomes part of bucket names."
  }
}

variable "image_uri" {
  description = "The image in ECR, by digest: ACCOUNT.dkr.ecr.REGION.amazonaws.com/REPOSITORY@sha256:..."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image_uri))
    error_message = "Name the image by its digest (`make push-ecr` prints it); a tag can be moved to another image."
  }
}

variable "architecture" {
  description = "What the image was built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"
}

variable "config" {
  description = "dizzy-keys.toml as text. Its journal and sinks are the buckets of the outputs. It is stored as a plain parameter: secrets are in it as references only."
  type        = string

  validation {
    condition     = length(var.config) <= 8192
    error_message = "A parameter holds 8 KiB at most; put a longer configuration into a bucket and name it in config_location."
  }
}

variable "config_location" {
  description = "Where the function reads its configuration instead of the parameter: s3://BUCKET/KEY. Grant the right to read it in extra_policy_json."
  type        = string
  default     = null
}

variable "published_secret_arns" {
  description = "Whole ARNs (with the six characters at the end) of the Secrets Manager secrets that sets publish in."
  type        = set(string)

  validation {
    condition     = alltrue([for arn in var.published_secret_arns : can(regex("^arn:[^*]+:secretsmanager:[^*]+:secret:[^*]+-[A-Za-z0-9]{6}$", arn))])
    error_message = "Each is a whole ARN, ending in a hyphen and six characters, without a wildcard."
  }
}

variable "read_secret_arns" {
  description = "Whole ARNs of secrets that the configuration only refers to (wallet, the API key of `[oci] key`). Not `admin`: rotations do not read it, and the function cannot run `prepare`."
  type        = set(string)
  default     = []
}

variable "read_parameter_arns" {
  description = "ARNs of further SSM parameters that the configuration refers to."
  type        = set(string)
  default     = []
}

variable "secret_kms_key_arns" {
  description = "Customer managed KMS keys of the published secrets. Leave out for the key aws/secretsmanager."
  type        = set(string)
  default     = []
}

variable "read_kms_key_arns" {
  description = "Customer managed KMS keys of the secrets and parameters that are only read."
  type        = set(string)
  default     = []
}

variable "rotated_secrets" {
  description = "Secrets whose rotation Secrets Manager itself starts, and how often. Name only the first secret of a set: it rotates the whole set. A secret listed here needs no `every` in the configuration."
  type        = map(object({ arn = string, schedule = string }))
  default     = {}

  validation {
    condition     = alltrue([for rotated in values(var.rotated_secrets) : contains(var.published_secret_arns, rotated.arn)])
    error_message = "A rotated secret is a published one: list its ARN in published_secret_arns too."
  }
}

variable "schedule" {
  description = "How often `rotate --due` runs (it reads one register per set and does nothing else when nothing is due). null: never."
  type        = string
  default     = "rate(15 minutes)"
}

variable "timeout_seconds" {
  description = "Longest call. When it is nearly over, the program stops at a safe point and the next call goes on."
  type        = number
  default     = 300
}

variable "memory_mb" {
  description = "Memory of the function; CPU comes with it."
  type        = number
  default     = 256
}

variable "reserved_concurrency" {
  description = "Calls at the same time. Several are safe; one is enough for a schedule."
  type        = number
  default     = 2
}

variable "subnet_ids" {
  description = "Private subnets to run in, for databases without a public address. Empty: no VPC. A VPC needs routes or endpoints to Secrets Manager, SSM, S3, KMS, and to the other cloud."
  type        = list(string)
  default     = []
}

variable "security_group_ids" {
  description = "Security groups inside the VPC: egress to the databases' ports and 443, no ingress."
  type        = list(string)
  default     = []
}

variable "environment" {
  description = "Further variables of the function, no secrets. Whoever may look at the function reads them."
  type        = map(string)
  default     = {}
}

variable "audit_retention_days" {
  description = "How long audit objects cannot be deleted by anybody, the account's root included (Object Lock, compliance mode). It can be lengthened and never be shortened."
  type        = number
  default     = 365
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 365
}

variable "alarm_topic_arns" {
  description = "SNS topics that alarms go to. Without one, alarms only show in CloudWatch."
  type        = list(string)
  default     = []
}

variable "notify_topic_arns" {
  description = "SNS topics that the configuration tells how sets have ended (`[notify]`). Topics under a customer managed key need rights on it: `extra_policy_json`."
  type        = set(string)
  default     = []
}

variable "oldest_credentials" {
  description = "Seconds after which the credentials of a set are too old, by set: an alarm each. Longer than the set's `every`."
  type        = map(number)
  default     = {}
}

variable "extra_policy_json" {
  description = "One more policy for the function's role, as JSON, for what the variables above do not know."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything."
  type        = map(string)
  default     = {}
}
