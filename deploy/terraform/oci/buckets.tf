# Journal and audit trail, each in a bucket of its own: a register is replaced all the time, a record never.

resource "oci_objectstorage_bucket" "journal" {
  count          = var.journal ? 1 : 0
  compartment_id = var.compartment_id
  namespace      = local.namespace
  name           = "${var.name}-journal"
  access_type    = "NoPublicAccess"
  versioning     = "Enabled"
  kms_key_id     = var.bucket_key_id
  # Who wrote what is in the service's own audit log; events are for programs that wait for objects.
  object_events_enabled = true
  freeform_tags         = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

# Retention and versions exclude each other in Object Storage; records need the former.
resource "oci_objectstorage_bucket" "audit" {
  # checkov:skip=CKV_OCI_8: a bucket with retention rules cannot keep versions, and nothing in it can be replaced
  compartment_id        = var.compartment_id
  namespace             = local.namespace
  name                  = "${var.name}-audit"
  access_type           = "NoPublicAccess"
  kms_key_id            = var.bucket_key_id
  object_events_enabled = true
  freeform_tags         = var.tags

  retention_rules {
    display_name     = "records"
    time_rule_locked = var.audit_retention_locked_from

    duration {
      time_amount = var.audit_retention_days
      time_unit   = "DAYS"
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

# Old versions of registers only. A register that expires is a register that is lost.
resource "oci_objectstorage_object_lifecycle_policy" "journal" {
  count     = var.journal ? 1 : 0
  namespace = local.namespace
  bucket    = oci_objectstorage_bucket.journal[0].name

  rules {
    name        = "old-versions"
    action      = "DELETE"
    target      = "previous-object-versions"
    time_amount = 90
    time_unit   = "DAYS"
    is_enabled  = true
  }

  depends_on = [oci_identity_policy.lifecycle]
}

# The region's name, for the statement that lets Object Storage carry out the rule.
data "oci_identity_region_subscriptions" "this" {
  tenancy_id = var.tenancy_id
}

locals {
  # One statement for each region that the tenancy uses: which one this module runs in is the provider's business.
  regions = [for subscription in data.oci_identity_region_subscriptions.this.region_subscriptions : subscription.region_name]
}

resource "oci_identity_policy" "lifecycle" {
  count          = var.journal ? 1 : 0
  compartment_id = var.compartment_id
  name           = "${var.name}-lifecycle"
  description    = "Object Storage deletes old versions of registers"
  freeform_tags  = var.tags
  statements = [
    for region in local.regions :
    "allow service objectstorage-${region} to manage object-family in compartment id ${var.compartment_id} where all {target.bucket.name = '${oci_objectstorage_bucket.journal[0].name}', any {request.permission = 'BUCKET_INSPECT', request.permission = 'BUCKET_READ', request.permission = 'OBJECT_INSPECT', request.permission = 'OBJECT_VERSION_DELETE'}}"
  ]
}

# The configuration, in a bucket that the function only reads: who could change it could have any database rotated anywhere.
resource "oci_objectstorage_bucket" "config" {
  compartment_id        = var.compartment_id
  namespace             = local.namespace
  name                  = "${var.name}-config"
  access_type           = "NoPublicAccess"
  versioning            = "Enabled"
  kms_key_id            = var.bucket_key_id
  object_events_enabled = true
  freeform_tags         = var.tags
}

resource "oci_objectstorage_object" "config" {
  namespace    = local.namespace
  bucket       = oci_objectstorage_bucket.config.name
  object       = "dizzy-keys.toml"
  content      = var.config
  content_type = "application/toml"
}
