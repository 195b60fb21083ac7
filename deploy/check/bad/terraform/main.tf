# Open to the world, unencrypted, and allowed everything.
resource "aws_s3_bucket" "open" {
  bucket = "open"
  acl    = "public-read"
}

resource "aws_iam_policy" "all" {
  name   = "all"
  policy = jsonencode({ Version = "2012-10-17", Statement = [{ Effect = "Allow", Action = "*", Resource = "*" }] })
}
