# Alarms: a person is needed, calls fail, calls were given up, a credential is too old.

resource "aws_cloudwatch_log_metric_filter" "needs_human" {
  name           = "${var.name}-needs-human"
  log_group_name = aws_cloudwatch_log_group.this.name
  pattern        = "{ $.message = \"a rotation set needs a human\" }"

  metric_transformation {
    name          = "${var.name}-needs-human"
    namespace     = "dizzy-keys"
    value         = "1"
    default_value = "0"
  }
}

resource "aws_cloudwatch_metric_alarm" "needs_human" {
  alarm_name          = "${var.name}-needs-human"
  alarm_description   = "A rotation set needs a human. Look at `dizzy-keys status`; docs/runbooks/3am.md."
  namespace           = "dizzy-keys"
  metric_name         = aws_cloudwatch_log_metric_filter.needs_human.metric_transformation[0].name
  statistic           = "Sum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

# Four periods of a quarter of an hour: what passes by itself passes sooner.
resource "aws_cloudwatch_metric_alarm" "failing" {
  alarm_name          = "${var.name}-failing"
  alarm_description   = "Every call of the last hour has had an error. What is published may be fine: `dizzy-keys status`."
  namespace           = "AWS/Lambda"
  metric_name         = "Errors"
  dimensions          = { FunctionName = aws_lambda_function.this.function_name }
  statistic           = "Sum"
  period              = 900
  evaluation_periods  = 4
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${var.name}-dead-letters"
  alarm_description   = "Calls of ${var.name} were given up. Nothing is lost: the next call goes on."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 1
  comparison_operator = "GreaterThanOrEqualToThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

# The program says the age at each scheduled call. No data for a day means that nobody looks: that is an alarm too.
resource "aws_cloudwatch_metric_alarm" "too_old" {
  for_each            = var.oldest_credentials
  alarm_name          = "${var.name}-too-old-${each.key}"
  alarm_description   = "What ${each.key} publishes is older than ${each.value} seconds, or its age was not told for a day: `dizzy-keys status`."
  namespace           = "dizzy-keys"
  metric_name         = "CredentialAge"
  dimensions          = { Set = each.key }
  statistic           = "Maximum"
  period              = 86400
  evaluation_periods  = 1
  threshold           = each.value
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}
