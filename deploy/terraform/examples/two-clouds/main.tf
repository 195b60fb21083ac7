# Both clouds: the function runs in AWS and rotates a database and a secret in each; the trail goes to both, so that neither cloud's
# administrators can rewrite it alone. The OCI module makes the second sink. Its function is not scheduled, and cannot rotate this set as it
# stands: it would need credentials for AWS (docs/functions.md).

# No backend is named here. Keep the state where few can read it: no secret is in it, but every name is.

provider "aws" {
  region = var.aws_region
}

provider "oci" {
  region = var.oci_region
}

module "aws" {
  source                = "../../aws"
  image_uri             = var.aws_image_uri
  config                = file("${path.module}/dizzy-keys.toml")
  published_secret_arns = [var.aws_secret_arn]
  read_secret_arns      = [var.oci_api_key_secret_arn]
  subnet_ids            = var.aws_subnet_ids
  security_group_ids    = var.aws_security_group_ids
  alarm_topic_arns      = var.aws_alarm_topic_arns
  notify_topic_arns     = [var.aws_notify_topic_arn]
}

module "oci" {
  source         = "../../oci"
  tenancy_id     = var.oci_tenancy_id
  compartment_id = var.oci_compartment_id
  image          = var.oci_image
  image_digest   = var.oci_image_digest
  subnet_ids     = var.oci_subnet_ids
  config         = file("${path.module}/dizzy-keys.toml")
  schedule       = null
  journal        = false
  alarm_topic_id = var.oci_alarm_topic_id

  published_secrets = {
    orders = {
      id                 = var.oci_secret_id
      compartment_id     = var.oci_compartment_id
      key_id             = var.oci_key_id
      key_compartment_id = var.oci_compartment_id
    }
  }

  read_secrets = {
    wallet-password = { id = var.oci_wallet_password_secret_id, compartment_id = var.oci_compartment_id }
  }

  wallet_objects = {
    orders = { bucket = "wallets", object = "orders.zip", compartment_id = var.oci_compartment_id }
  }
}

output "journal_url" {
  value       = module.aws.journal_url
  description = "For `[journal] url`."
}

output "audit_sinks" {
  value       = [module.aws.audit_sink, module.oci.audit_sink]
  description = "For `[audit] sinks`: both."
}

output "audit_key" {
  value       = module.aws.audit_key
  description = "For `[audit] key`."
}
