# What a deployment decides. Nothing here is a secret; secrets are named by OCID and never read by Terraform.

variable "name" {
  description = "Name of the application and the function, and prefix of everything else."
  type        = string
  default     = "dizzy-keys"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "Lower-case letters, digits and hyphens, 2 to 31 characters."
  }
}

variable "tenancy_id" {
  description = "The tenancy: dynamic groups live there."
  type        = string
}

variable "compartment_id" {
  description = "The compartment that everything is made in."
  type        = string
}

variable "image" {
  description = "The image in OCIR of the same region: REGION.ocir.io/NAMESPACE/REPOSITORY:TAG."
  type        = string
}

variable "image_digest" {
  description = "Its digest, sha256:... (`make push-ocir` prints it)."
  type        = string

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.image_digest))
    error_message = "Name the image by its digest; a tag can be moved to another image."
  }
}

variable "image_key_id" {
  description = "Key whose signature every image of the application must carry (OCI's own image signatures, not cosign's). null: signatures are not demanded."
  type        = string
  default     = null
}

variable "shape" {
  description = "What the image was built for: GENERIC_X86 or GENERIC_ARM."
  type        = string
  default     = "GENERIC_X86"
}

variable "subnet_ids" {
  description = "Subnets of the application. They need a service gateway for Vault and Object Storage, and a way to the databases and to the other cloud."
  type        = list(string)
}

variable "network_security_group_ids" {
  description = "Network security groups: egress to the databases' ports and 443, no ingress."
  type        = list(string)
  default     = []
}

variable "config" {
  description = "dizzy-keys.toml as text. Its journal and sinks are the buckets of the outputs. Secrets are in it as references only."
  type        = string
}

variable "journal" {
  description = "Whether the registers are here. false: they are in the other cloud, and neither a bucket nor a right is made for them."
  type        = bool
  default     = true
}

variable "published_secrets" {
  description = "Vault secrets that sets publish in: by a name of your own, OCID and compartment of the secret, and OCID of its master key."
  type        = map(object({ id = string, compartment_id = string, key_id = string, key_compartment_id = string }))
}

variable "read_secrets" {
  description = "Vault secrets that the configuration only refers to (wallet password, audit key). Not `admin`: rotations do not read it, and the function cannot run `prepare`."
  type        = map(object({ id = string, compartment_id = string }))
  default     = {}
}

variable "wallet_objects" {
  description = "Wallets in Object Storage: `wallet = \"oci://NAMESPACE/BUCKET/OBJECT\"`."
  type        = map(object({ bucket = string, object = string, compartment_id = string }))
  default     = {}
}

variable "wallet_database_compartments" {
  description = "Compartments of databases whose wallet the service makes for each run (`wallet = \"oci-adb:OCID\"`). The right is for every Autonomous Database of the compartment."
  type        = set(string)
  default     = []
}

variable "rotated_secret_ids" {
  description = "Secrets whose rotation Vault itself starts with this function as target. Name only the first secret of a set."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.rotated_secret_ids : contains([for secret in values(var.published_secrets) : secret.id], id)])
    error_message = "A rotated secret is a published one: list it in published_secrets too."
  }
}

variable "schedule" {
  description = "How often `rotate --due` runs, as cron in UTC. null: never."
  type        = string
  default     = "*/15 * * * *"
}

variable "timeout_seconds" {
  description = "Longest call: 300 at most when the caller waits."
  type        = number
  default     = 300
}

variable "memory_mb" {
  description = "Memory of the function: 128, 256, 512, 1024, 2048 or 3072."
  type        = number
  default     = 256
}

variable "audit_retention_days" {
  description = "How long audit objects can be neither deleted nor replaced."
  type        = number
  default     = 365
}

variable "audit_retention_locked_from" {
  description = "From this moment (RFC 3339, at least 14 days ahead) nobody can shorten or remove the retention rule, the tenancy's administrators included. null: not locked, and an administrator can."
  type        = string
  default     = null
}

variable "bucket_key_id" {
  description = "Master key of the buckets. null: Oracle's. Object Storage itself must be allowed to use it: `allow service objectstorage-REGION to use keys ...`."
  type        = string
  default     = null
}

variable "log_retention_days" {
  description = "How long logs are kept: a multiple of 30, 180 at most."
  type        = number
  default     = 180
}

variable "alarm_topic_id" {
  description = "Notifications topic that alarms go to. null: no alarms are made, because OCI's need a destination."
  type        = string
  default     = null
}

variable "notify_topic_compartments" {
  description = "Compartments of topics that the configuration tells how sets have ended (`[notify]`). The right is for every topic of the compartment: OCI has no condition for one."
  type        = set(string)
  default     = []
}

variable "extra_statements" {
  description = "More policy statements, for what the variables above do not know. `dynamic-group NAME-function` is the function."
  type        = list(string)
  default     = []
}

variable "tags" {
  description = "Free-form tags of everything."
  type        = map(string)
  default     = {}
}
