# The function, who may call it, and when it is called.

locals {
  log_group    = "/aws/lambda/${var.name}"
  function_arn = "arn:${local.partition}:lambda:${local.region}:${local.account}:function:${var.name}"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = local.log_group
  retention_in_days = var.log_retention_days
  kms_key_id        = aws_kms_key.this.arn
  tags              = var.tags
}

resource "aws_sqs_queue" "dead_letters" {
  # checkov:skip=CKV_AWS_27: encrypted with the queue's own key (sqs_managed_sse_enabled); events hold names of sets and no secret
  name                      = "${var.name}-dead-letters"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_lambda_function" "this" {
  # checkov:skip=CKV_AWS_50: traces would need rights that a rotation does not; call and trace ids are in the log
  # checkov:skip=CKV_AWS_117: a VPC is an option (subnet_ids); a database with a public address needs none
  # checkov:skip=CKV_AWS_173: the environment holds the name of a parameter, no secret
  # checkov:skip=CKV_AWS_272: Lambda does not sign images; they are named by digest, and signed in the registry (docs/deploy.md)
  function_name                  = var.name
  description                    = "Rotates database credentials"
  role                           = aws_iam_role.rotator.arn
  package_type                   = "Image"
  image_uri                      = var.image_uri
  architectures                  = [var.architecture]
  timeout                        = var.timeout_seconds
  memory_size                    = var.memory_mb
  reserved_concurrent_executions = var.reserved_concurrency
  tags                           = var.tags

  environment {
    variables = merge(var.environment, {
      DIZZY_KEYS_CONFIG = coalesce(var.config_location, "aws-ssm:${aws_ssm_parameter.config.name}")
    })
  }

  dead_letter_config {
    target_arn = aws_sqs_queue.dead_letters.arn
  }

  logging_config {
    log_format = "Text"
    log_group  = aws_cloudwatch_log_group.this.name
  }

  dynamic "vpc_config" {
    for_each = local.in_vpc ? [1] : []

    content {
      subnet_ids         = var.subnet_ids
      security_group_ids = var.security_group_ids
    }
  }

  depends_on = [aws_iam_role_policy.platform, aws_iam_role_policy.rotator]
}

# A call that failed is repeated twice, then it is a dead letter. The next scheduled call goes on with what is unfinished anyway.
resource "aws_lambda_function_event_invoke_config" "this" {
  function_name                = aws_lambda_function.this.function_name
  maximum_event_age_in_seconds = 900
  maximum_retry_attempts       = 2
}

data "aws_iam_policy_document" "assume_schedule" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  statement {
    actions   = ["lambda:InvokeFunction"]
    resources = [aws_lambda_function.this.arn]
  }

  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.dead_letters.arn]
  }
}

resource "aws_iam_role" "schedule" {
  name               = "${var.name}-schedule"
  description        = "Calls ${var.name} on time"
  assume_role_policy = data.aws_iam_policy_document.assume_schedule.json
  tags               = var.tags
}

resource "aws_iam_role_policy" "schedule" {
  name   = "call"
  role   = aws_iam_role.schedule.id
  policy = data.aws_iam_policy_document.schedule.json
}

resource "aws_scheduler_schedule" "due" {
  # checkov:skip=CKV_AWS_297: the schedule's input is the word "due"
  count                        = var.schedule == null ? 0 : 1
  name                         = "${var.name}-due"
  description                  = "Rotates what is due and finishes what was left"
  schedule_expression          = var.schedule
  schedule_expression_timezone = "UTC"

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_lambda_function.this.arn
    role_arn = aws_iam_role.schedule.arn
    input    = jsonencode({ action = "rotate", due = true })

    dead_letter_config {
      arn = aws_sqs_queue.dead_letters.arn
    }
    retry_policy {
      maximum_event_age_in_seconds = 900
      maximum_retry_attempts       = 2
    }
  }
}

# Secrets Manager calls the function for these secrets, and for no others.
resource "aws_lambda_permission" "rotation" {
  for_each       = var.rotated_secrets
  statement_id   = "rotation-${each.key}"
  action         = "lambda:InvokeFunction"
  function_name  = aws_lambda_function.this.function_name
  principal      = "secretsmanager.amazonaws.com"
  source_account = local.account
  source_arn     = each.value.arn
}

resource "aws_secretsmanager_secret_rotation" "this" {
  # checkov:skip=CKV_AWS_304: how often is the deployment's decision (schedule)
  for_each            = var.rotated_secrets
  secret_id           = each.value.arn
  rotation_lambda_arn = aws_lambda_function.this.arn
  rotate_immediately  = false

  rotation_rules {
    schedule_expression = each.value.schedule
  }

  depends_on = [aws_lambda_permission.rotation]
}
