# What the function may do: what `dizzy-keys policy oci` prints for its configuration, and nothing else. A check of the repository
# compares both for the example in ../examples/two-clouds, and the statements with docs/oci.md.

resource "oci_identity_dynamic_group" "function" {
  compartment_id = var.tenancy_id
  name           = "${var.name}-function"
  description    = "The function ${var.name}"
  matching_rule  = "ALL {resource.type = 'fnfunc', resource.id = '${oci_functions_function.this.id}'}"
  freeform_tags  = var.tags
}

locals {
  who = "dynamic-group ${oci_identity_dynamic_group.function.name}"

  publish = flatten([
    for secret in values(var.published_secrets) : [
      "allow ${local.who} to read secret-bundles in compartment id ${secret.compartment_id} where all {target.secret.id = '${secret.id}', request.permission = 'SECRET_BUNDLE_READ'}",
      "allow ${local.who} to use secrets in compartment id ${secret.compartment_id} where all {target.secret.id = '${secret.id}', any {request.permission = 'SECRET_READ', request.permission = 'SECRET_UPDATE'}}",
      "allow ${local.who} to manage secret-versions in compartment id ${secret.compartment_id} where all {target.secret.id = '${secret.id}', any {request.permission = 'SECRET_VERSION_DELETE', request.permission = 'SECRET_VERSION_INSPECT', request.permission = 'SECRET_VERSION_READ'}}",
    ]
  ])

  keys = distinct([
    for secret in values(var.published_secrets) :
    "allow ${local.who} to use keys in compartment id ${secret.key_compartment_id} where target.key.id = '${secret.key_id}'"
  ])

  references = [
    for secret in values(var.read_secrets) :
    "allow ${local.who} to read secret-bundles in compartment id ${secret.compartment_id} where all {target.secret.id = '${secret.id}', request.permission = 'SECRET_BUNDLE_READ'}"
  ]

  wallets = concat(
    [
      for wallet in values(var.wallet_objects) :
      "allow ${local.who} to read objects in compartment id ${wallet.compartment_id} where all {target.bucket.name = '${wallet.bucket}', target.object.name = '${wallet.object}', request.permission = 'OBJECT_READ'}"
    ],
    [
      for compartment in var.wallet_database_compartments :
      "allow ${local.who} to read autonomous-databases in compartment id ${compartment} where request.permission = 'AUTONOMOUS_DATABASE_CONTENT_READ'"
    ],
  )

  topics = [
    for compartment in var.notify_topic_compartments :
    "allow ${local.who} to use ons-topics in compartment id ${compartment} where request.permission = 'ONS_TOPIC_PUBLISH'"
  ]

  # The configuration is read; records are created only. No right to delete anywhere.
  objects = [
    "allow ${local.who} to read objects in compartment id ${var.compartment_id} where all {target.bucket.name = '${oci_objectstorage_bucket.config.name}', target.object.name = '${oci_objectstorage_object.config.object}', request.permission = 'OBJECT_READ'}",
    "allow ${local.who} to manage objects in compartment id ${var.compartment_id} where all {target.bucket.name = '${oci_objectstorage_bucket.audit.name}', any {request.permission = 'OBJECT_CREATE', request.permission = 'OBJECT_INSPECT', request.permission = 'OBJECT_READ'}}",
  ]

  # Registers are created and replaced.
  registers = [
    for bucket in oci_objectstorage_bucket.journal :
    "allow ${local.who} to manage objects in compartment id ${var.compartment_id} where all {target.bucket.name = '${bucket.name}', any {request.permission = 'OBJECT_CREATE', request.permission = 'OBJECT_OVERWRITE', request.permission = 'OBJECT_READ'}}"
  ]
}

resource "oci_identity_policy" "function" {
  compartment_id = var.tenancy_id
  name           = "${var.name}-function"
  description    = "What the function ${var.name} may do"
  statements     = concat(local.publish, local.keys, local.references, local.wallets, local.objects, local.registers, local.topics, var.extra_statements)
  freeform_tags  = var.tags
}

# The schedule calls the function. Oracle's documentation names this statement; whether a narrower one works was not seen.
resource "oci_identity_policy" "schedule" {
  count          = var.schedule == null ? 0 : 1
  compartment_id = var.compartment_id
  name           = "${var.name}-schedule"
  description    = "The schedule calls the function ${var.name}"
  freeform_tags  = var.tags
  statements = [
    "allow any-user to manage functions-family in compartment id ${var.compartment_id} where all {request.principal.type = 'resourceschedule', request.principal.id = '${oci_resource_scheduler_schedule.due[0].id}'}"
  ]
}

# Vault calls the function for these secrets, and for no others.
resource "oci_identity_dynamic_group" "rotated" {
  count          = length(var.rotated_secret_ids) > 0 ? 1 : 0
  compartment_id = var.tenancy_id
  name           = "${var.name}-rotated-secrets"
  description    = "Secrets that Vault rotates through ${var.name}"
  matching_rule  = "ANY {${join(", ", [for id in sort(var.rotated_secret_ids) : "ALL {resource.type = 'vaultsecret', resource.id = '${id}'}"])}}"
  freeform_tags  = var.tags
}

resource "oci_identity_policy" "rotated" {
  count          = length(var.rotated_secret_ids) > 0 ? 1 : 0
  compartment_id = var.compartment_id
  name           = "${var.name}-rotated-secrets"
  description    = "Vault calls the function ${var.name}"
  freeform_tags  = var.tags
  statements = [
    "allow dynamic-group ${oci_identity_dynamic_group.rotated[0].name} to use fn-invocation in compartment id ${var.compartment_id} where target.function.id = '${oci_functions_function.this.id}'",
    "allow dynamic-group ${oci_identity_dynamic_group.rotated[0].name} to read fn-function in compartment id ${var.compartment_id} where target.function.id = '${oci_functions_function.this.id}'",
  ]
}
