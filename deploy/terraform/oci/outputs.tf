# What the configuration and the other cloud's module need to know.

output "journal_url" {
  description = "For `[journal] url`; null without `journal`."
  value       = var.journal ? "oci://${local.namespace}/${oci_objectstorage_bucket.journal[0].name}/journal" : null
}

output "audit_sink" {
  description = "For `[audit] sinks`."
  value       = "oci://${local.namespace}/${oci_objectstorage_bucket.audit.name}/audit"
}

output "function_id" {
  description = "The function: for calls by hand, and as the target of a secret's rotation."
  value       = oci_functions_function.this.id
}

output "dynamic_group" {
  description = "The function's name in policies."
  value       = oci_identity_dynamic_group.function.name
}

output "rotation_command" {
  description = "Makes Vault rotate a secret through the function. Not done by Terraform, whose resource for secrets would keep their content in the state."
  value = [
    for id in sort(var.rotated_secret_ids) : join(" ", [
      "oci vault secret update --secret-id ${id} --rotation-config",
      "'${jsonencode({ isScheduledRotationEnabled = true, rotationInterval = "P30D", targetSystemDetails = { targetSystemType = "FUNCTION", functionId = oci_functions_function.this.id } })}'",
    ])
  ]
}
