# What this module needs.
terraform {
  required_version = ">= 1.11"
  required_providers {
    oci = {
      source  = "oracle/oci"
      version = ">= 7.0, < 9.0"
    }
  }
}

data "oci_objectstorage_namespace" "this" {
  compartment_id = var.tenancy_id
}

locals {
  namespace = data.oci_objectstorage_namespace.this.namespace
}
