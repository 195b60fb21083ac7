# What the configuration and the other cloud's module need to know.

output "journal_url" {
  description = "For `[journal] url`."
  value       = "s3://${aws_s3_bucket.this["journal"].bucket}/${local.prefixes.journal}"
}

output "audit_sink" {
  description = "For `[audit] sinks`."
  value       = "s3://${aws_s3_bucket.this["audit"].bucket}/${local.prefixes.audit}"
}

output "audit_key" {
  description = "For `[audit] key`: the reference, not the key."
  value       = "aws-ssm:${aws_ssm_parameter.audit_key.name}:1"
}

output "function_arn" {
  description = "The function: for calls by hand and for rotation rules elsewhere."
  value       = aws_lambda_function.this.arn
}

output "role_arn" {
  description = "What the function runs as."
  value       = aws_iam_role.rotator.arn
}

output "dead_letter_queue_url" {
  description = "Calls that were given up."
  value       = aws_sqs_queue.dead_letters.url
}
