# Application, function, log, schedule, alarm.

resource "oci_functions_application" "this" {
  compartment_id             = var.compartment_id
  display_name               = var.name
  subnet_ids                 = var.subnet_ids
  network_security_group_ids = var.network_security_group_ids
  shape                      = var.shape
  freeform_tags              = var.tags

  dynamic "image_policy_config" {
    for_each = var.image_key_id == null ? [] : [var.image_key_id]

    content {
      is_policy_enabled = true
      key_details {
        kms_key_id = image_policy_config.value
      }
    }
  }
}

resource "oci_functions_function" "this" {
  application_id     = oci_functions_application.this.id
  display_name       = var.name
  image              = var.image
  image_digest       = var.image_digest
  memory_in_mbs      = var.memory_mb
  timeout_in_seconds = var.timeout_seconds
  freeform_tags      = var.tags

  # How long a call of the schedule may take, which waits for no answer.
  detached_mode_timeout_in_seconds = var.timeout_seconds

  config = {
    DIZZY_KEYS_CONFIG = "oci://${local.namespace}/${oci_objectstorage_object.config.bucket}/${oci_objectstorage_object.config.object}"
  }
}

resource "oci_logging_log_group" "this" {
  compartment_id = var.compartment_id
  display_name   = var.name
  freeform_tags  = var.tags
}

resource "oci_logging_log" "calls" {
  display_name       = "${var.name}-calls"
  log_group_id       = oci_logging_log_group.this.id
  log_type           = "SERVICE"
  is_enabled         = true
  retention_duration = var.log_retention_days
  freeform_tags      = var.tags

  configuration {
    compartment_id = var.compartment_id

    source {
      category    = "invoke"
      resource    = oci_functions_application.this.id
      service     = "functions"
      source_type = "OCISERVICE"
    }
  }
}

# It calls the function without a body, which means: rotate what is due, and finish what was left.
resource "oci_resource_scheduler_schedule" "due" {
  count              = var.schedule == null ? 0 : 1
  compartment_id     = var.compartment_id
  display_name       = "${var.name}-due"
  description        = "Rotates what is due and finishes what was left"
  action             = "START_RESOURCE"
  recurrence_type    = "CRON"
  recurrence_details = var.schedule
  freeform_tags      = var.tags

  resources {
    id = oci_functions_function.this.id
  }
}

# The metric counts error responses (Oracle documentation: "Function Metrics"). A call that does not end well is one. What passes by itself passes within the hour.
resource "oci_monitoring_alarm" "failing" {
  count                        = var.alarm_topic_id == null ? 0 : 1
  compartment_id               = var.compartment_id
  metric_compartment_id        = var.compartment_id
  display_name                 = "${var.name}-failing"
  namespace                    = "oci_faas"
  query                        = "FunctionResponseCount[15m]{resourceId = \"${oci_functions_function.this.id}\"}.sum() > 0"
  pending_duration             = "PT1H"
  repeat_notification_duration = "PT4H"
  severity                     = "CRITICAL"
  body                         = "Every call of the last hour has had an error. Look at `dizzy-keys status`; docs/runbooks/3am.md."
  destinations                 = [var.alarm_topic_id]
  is_enabled                   = true
  freeform_tags                = var.tags
}
