# What the function may do: what `dizzy-keys policy aws` prints for its configuration, and nothing else. A check of the repository
# compares both for the example in ../examples/two-clouds, and the actions with the pages that name them.

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "rotator" {
  # Secrets that sets publish in.
  statement {
    sid = "PublishedSecrets"
    actions = [
      "secretsmanager:DescribeSecret",
      "secretsmanager:GetSecretValue",
      "secretsmanager:PutSecretValue",
      "secretsmanager:UpdateSecretVersionStage",
    ]
    resources = var.published_secret_arns
  }

  dynamic "statement" {
    for_each = length(var.read_secret_arns) > 0 ? [1] : []

    content {
      sid       = "ReferencedSecrets"
      actions   = ["secretsmanager:GetSecretValue"]
      resources = var.read_secret_arns
    }
  }

  statement {
    sid       = "Parameters"
    actions   = ["ssm:GetParameter"]
    resources = concat([aws_ssm_parameter.audit_key.arn, aws_ssm_parameter.config.arn], tolist(var.read_parameter_arns))
  }

  dynamic "statement" {
    for_each = length(var.notify_topic_arns) > 0 ? [1] : []

    content {
      sid       = "Topics"
      actions   = ["sns:Publish"]
      resources = var.notify_topic_arns
    }
  }

  # Registers: read, created if there is none, replaced if it is the one that was read. No right to delete.
  statement {
    sid       = "Registers"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this["journal"].arn}/${local.prefixes.journal}/*"]
  }

  statement {
    sid       = "RegistersCreated"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["journal"].arn}/${local.prefixes.journal}/*"]

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["false"]
    }
  }

  statement {
    sid       = "RegistersReplaced"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["journal"].arn}/${local.prefixes.journal}/*"]

    condition {
      test     = "Null"
      variable = "s3:if-match"
      values   = ["false"]
    }
  }

  # Without it S3 says "denied" where nothing is there yet. No condition on a prefix: that answer is not bound to one.
  statement {
    sid       = "RegistersBucket"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["journal"].arn]
  }

  # Audit records: created and read. The bucket's policy refuses to replace one, too, its lock to delete one.
  statement {
    sid       = "Trail"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.this["audit"].arn}/${local.prefixes.audit}/*"]
  }

  statement {
    sid       = "TrailCreated"
    actions   = ["s3:PutObject"]
    resources = ["${aws_s3_bucket.this["audit"].arn}/${local.prefixes.audit}/*"]

    condition {
      test     = "Null"
      variable = "s3:if-none-match"
      values   = ["false"]
    }
  }

  statement {
    sid       = "TrailBucket"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.this["audit"].arn]
  }

  # Keys: through the service that uses them only. The function cannot use one by itself.
  statement {
    sid       = "KeysOfBuckets"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [aws_kms_key.this.arn]

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["s3.${local.region}.amazonaws.com"]
    }
  }

  statement {
    sid       = "KeysOfParameters"
    actions   = ["kms:Decrypt"]
    resources = concat([aws_kms_key.this.arn], tolist(var.read_kms_key_arns))

    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["ssm.${local.region}.amazonaws.com"]
    }
  }

  dynamic "statement" {
    for_each = length(var.secret_kms_key_arns) > 0 ? [1] : []

    content {
      sid       = "KeysOfPublishedSecrets"
      actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
      resources = var.secret_kms_key_arns

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "kms:EncryptionContext:SecretARN"
        values   = var.published_secret_arns
      }
    }
  }

  dynamic "statement" {
    for_each = length(var.read_kms_key_arns) > 0 && length(var.read_secret_arns) > 0 ? [1] : []

    content {
      sid       = "KeysOfReferencedSecrets"
      actions   = ["kms:Decrypt"]
      resources = var.read_kms_key_arns

      condition {
        test     = "StringEquals"
        variable = "kms:ViaService"
        values   = ["secretsmanager.${local.region}.amazonaws.com"]
      }
      condition {
        test     = "StringEquals"
        variable = "kms:EncryptionContext:SecretARN"
        values   = var.read_secret_arns
      }
    }
  }
}

# What the platform needs on the function's behalf.
data "aws_iam_policy_document" "platform" {
  # checkov:skip=CKV_AWS_111: network interfaces cannot be named before they are made; the program itself is denied these calls below
  # checkov:skip=CKV_AWS_356: the same
  statement {
    sid       = "Logs"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.this.arn}:*"]
  }

  statement {
    sid       = "DeadLetters"
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }

  dynamic "statement" {
    for_each = local.in_vpc ? [1] : []

    content {
      sid       = "Network"
      actions   = local.network_actions
      resources = ["*"]
    }
  }

  dynamic "statement" {
    for_each = local.in_vpc ? [1] : []

    content {
      sid       = "NetworkNotByTheProgram"
      effect    = "Deny"
      actions   = local.network_actions
      resources = ["*"]

      condition {
        test     = "ArnEquals"
        variable = "lambda:SourceFunctionArn"
        values   = [local.function_arn]
      }
    }
  }
}

locals {
  in_vpc = length(var.subnet_ids) > 0
  network_actions = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
  ]
}

resource "aws_iam_role" "rotator" {
  name                 = "${var.name}-function"
  description          = "What ${var.name} runs as"
  assume_role_policy   = data.aws_iam_policy_document.assume.json
  max_session_duration = 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "rotator" {
  name   = "rotate"
  role   = aws_iam_role.rotator.id
  policy = data.aws_iam_policy_document.rotator.json
}

resource "aws_iam_role_policy" "platform" {
  name   = "platform"
  role   = aws_iam_role.rotator.id
  policy = data.aws_iam_policy_document.platform.json
}

resource "aws_iam_role_policy" "extra" {
  count  = var.extra_policy_json == null ? 0 : 1
  name   = "extra"
  role   = aws_iam_role.rotator.id
  policy = var.extra_policy_json
}
