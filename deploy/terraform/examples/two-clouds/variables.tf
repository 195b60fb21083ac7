# What only you know. None of it is secret.

variable "aws_region" {
  description = "Region of the function, its buckets and secrets."
  type        = string
}

variable "oci_region" {
  description = "Region of the Vault and Object Storage."
  type        = string
}

variable "aws_image_uri" {
  description = "The image in ECR, by digest."
  type        = string
}

variable "aws_secret_arn" {
  description = "Whole ARN of prod/orders."
  type        = string
}

variable "oci_api_key_secret_arn" {
  description = "Whole ARN of the secret with the API key that requests to OCI are signed with: {\"tenancy\", \"user\", \"fingerprint\", \"key\", \"region\"}."
  type        = string
}

variable "aws_subnet_ids" {
  description = "Private subnets with a way to the databases and to the internet."
  type        = list(string)
  default     = []
}

variable "aws_security_group_ids" {
  description = "Security groups of the function."
  type        = list(string)
  default     = []
}

variable "aws_notify_topic_arn" {
  description = "The SNS topic of `[notify]` in dizzy-keys.toml."
  type        = string
}

variable "aws_alarm_topic_arns" {
  description = "SNS topics that alarms go to."
  type        = list(string)
  default     = []
}

variable "oci_tenancy_id" {
  description = "The tenancy."
  type        = string
}

variable "oci_compartment_id" {
  description = "The compartment of Vault, buckets and function."
  type        = string
}

variable "oci_image" {
  description = "The image in OCIR."
  type        = string
}

variable "oci_image_digest" {
  description = "Its digest."
  type        = string
}

variable "oci_subnet_ids" {
  description = "Subnets of the application."
  type        = list(string)
}

variable "oci_secret_id" {
  description = "OCID of the secret that the set publishes in."
  type        = string
}

variable "oci_key_id" {
  description = "OCID of its master key."
  type        = string
}

variable "oci_alarm_topic_id" {
  description = "Notifications topic that alarms go to."
  type        = string
  default     = null
}

variable "oci_wallet_password_secret_id" {
  description = "OCID of the secret with the wallet's password."
  type        = string
}
