"""A rotation function as it is written in Python, up to its first read: what dizzy-keys' start is measured against, and nothing else.

It imports the libraries that such a function rotates with, makes its clients while it is initialised, as AWS advises, and answers an
event with an object that it has read. The Runtime API is spoken directly, so that no library of Lambda's adds to it.
"""

import http.client
import json
import os
import sys

import boto3
import cryptography.hazmat.primitives.serialization
import oracledb
import psycopg2

if "--oci" in sys.argv:
    import oci

clients = [boto3.client(name) for name in ("secretsmanager", "ssm", "s3")]
bucket, key = os.environ["OBJECT"].split("/", 1)
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])

while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    event = api.getresponse()
    event.read()
    read = clients[2].get_object(Bucket=bucket, Key=key)["Body"].read()
    answer = json.dumps({"read": json.loads(read)})
    call = event.headers["Lambda-Runtime-Aws-Request-Id"]
    api.request("POST", f"/2018-06-01/runtime/invocation/{call}/response", answer)
    api.getresponse().read()
