# One KMS key for what the module creates (buckets, parameters, logs), and the key that signs the audit trail.

data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109: a key's policy; * is this key, and the account's administrators must not be locked out of it
  # checkov:skip=CKV_AWS_111: the same
  # checkov:skip=CKV_AWS_356: the same
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]

    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }

  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    resources = ["*"]

    principals {
      type        = "Service"
      identifiers = ["logs.${local.region}.amazonaws.com"]
    }
    condition {
      test     = "ArnEquals"
      variable = "kms:EncryptionContext:aws:logs:arn"
      values   = ["arn:${local.partition}:logs:${local.region}:${local.account}:log-group:${local.log_group}"]
    }
  }
}

resource "aws_kms_key" "this" {
  description         = "${var.name}: journal, audit trail, parameters, logs"
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.key.json
  tags                = var.tags
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# Made while Terraform runs and written once. Neither the state nor a plan holds it. Do not raise value_wo_version to get another
# key: a trail is handed over from one key to the next (docs/audit.md).
ephemeral "random_password" "audit_key" {
  length  = 64
  special = false
}

resource "aws_ssm_parameter" "audit_key" {
  name             = "/${var.name}/audit-key"
  description      = "Signs the audit trail of ${var.name}. Whoever reads it can forge records."
  type             = "SecureString"
  key_id           = aws_kms_key.this.arn
  value_wo         = ephemeral.random_password.audit_key.result
  value_wo_version = 1
  tags             = var.tags

  lifecycle {
    prevent_destroy = true
  }
}

resource "aws_ssm_parameter" "config" {
  # checkov:skip=CKV2_AWS_34: the configuration names secrets and holds none; it is meant to be read in a review
  name        = "/${var.name}/config"
  description = "dizzy-keys.toml"
  type        = "String"
  tier        = "Intelligent-Tiering"
  value       = var.config
  tags        = var.tags
}
