"""Makes moto's S3 refuse what Amazon S3 refuses, where moto lets it pass.

moto judges If-Match and If-None-Match, but looks and writes in two steps, so that two requests at once may both win: the
server serves one S3 request at a time. What moto does not look at is checked here before it: the hashes that a write
carries, and that a write into a bucket with default retention carries one ([api] PutObject: "The Content-MD5 or
x-amz-sdk-checksum-algorithm header is required for any request to upload an object with a retention period configured
using Amazon S3 Object Lock").
"""

import base64
import hashlib
from xml.sax.saxutils import escape

from moto.s3.models import s3_backends


def refusal(environ, body):
    """The code with which S3 refuses this request, or None if it is moto's to answer."""
    if environ["REQUEST_METHOD"] != "PUT":
        return None
    bucket, _, key = environ["PATH_INFO"].strip("/").partition("/")
    if not key:
        return None
    digest = hashlib.sha256(body)
    if environ.get("HTTP_X_AMZ_CONTENT_SHA256") not in (None, "UNSIGNED-PAYLOAD", digest.hexdigest()):
        # A body in signed chunks (the AWS command line over plain http) has a name there instead of a hash.
        if not environ["HTTP_X_AMZ_CONTENT_SHA256"].startswith("STREAMING-"):
            return "XAmzContentSHA256Mismatch"
    checksum = environ.get("HTTP_X_AMZ_CHECKSUM_SHA256")
    if checksum is not None and checksum != base64.b64encode(digest.digest()).decode():
        return "BadDigest"
    has_checksum = any(
        name == "HTTP_CONTENT_MD5" or name.startswith("HTTP_X_AMZ_CHECKSUM_") or name == "HTTP_X_AMZ_TRAILER"
        for name in environ
    )
    if not has_checksum and retains(bucket):
        return "InvalidRequest"
    return None


def retains(name):
    for regions in list(s3_backends.values()):
        for backend in list(regions.values()):
            bucket = dict(backend.buckets).get(name)
            if bucket is not None:
                return bucket.object_lock_enabled and bucket.has_default_lock
    return False


def error(code):
    """An error in S3's form. The message stands for texts that must not get into anybody's logs."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{escape(code)}</Code><Message>refused by the sandbox</Message></Error>'.encode()
