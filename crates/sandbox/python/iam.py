"""Decides as IAM does whether a request is allowed, from the text of an identity policy, and answers a denied one as AWS does.

What moto does not do is here: resources of Secrets Manager and SSM, and conditions. Sources: IAM user guide, "Policy evaluation logic",
"IAM JSON policy elements" (Action, Resource, Condition operators; a condition key that is not in the request fails every operator but
`Null` and those with IfExists); service authorization reference for actions, resources and keys. Keys are in effect for the access key id
that they were set for; everybody else may do everything.
"""

import json
import re
from urllib.parse import parse_qsl, unquote

import corrections

ACCOUNT, REGION = "123456789012", "us-west-2"


class Denied(Exception):
    def __init__(self, action, resource):
        super().__init__(f"{action} on {resource}")
        self.action, self.resource = action, resource


def matches(pattern, text, fold=False):
    """`*`, `?`, and `${*}`, which stands for a star."""
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    regex = "".join({"*": ".*", "?": "."}.get(p, re.escape(p[2] if p.startswith("${") else p)) for p in parts)
    return re.fullmatch(regex, text, re.DOTALL | (re.IGNORECASE if fold else 0)) is not None


def listed(value):
    return value if isinstance(value, list) else [value]


def meets(test, wanted, found):
    """One operator, one key: wanted values against what the request has (None: nothing)."""
    if test == "Null":
        return (found is None) == (str(wanted[0]).lower() == "true")
    if test.endswith("IfExists"):
        if found is None:
            return True
        test = test.removesuffix("IfExists")
    if found is None:
        return False
    if test in ("StringEquals", "ArnEquals", "Bool"):
        return found in [str(value) for value in wanted]
    if test in ("StringLike", "ArnLike"):
        return any(matches(value, found) for value in wanted)
    # An operator that is not known here must not pass for one that was looked at.
    raise ValueError(f"condition operator {test} is not known to the sandbox")


def applies(statement, action, resource, context):
    for key in statement:
        if key not in ("Sid", "Effect", "Action", "Resource", "Condition"):
            raise ValueError(f"policy element {key} is not known to the sandbox")
    if not any(matches(pattern, action, fold=True) for pattern in listed(statement["Action"])):
        return False
    if not any(matches(pattern, resource) for pattern in listed(statement["Resource"])):
        return False
    conditions = statement.get("Condition", {})
    return all(
        meets(test, listed(wanted), context.get(key.lower()))
        for test, keys in conditions.items()
        for key, wanted in keys.items()
    )


class Policy:
    def __init__(self, text):
        document = json.loads(text)
        if document["Version"] != "2012-10-17":
            raise ValueError("the policy is of another version")
        self.statements = document["Statement"]

    def require(self, action, resource, context):
        found = [s["Effect"] for s in self.statements if applies(s, action, resource, context)]
        if "Allow" not in found or "Deny" in found:
            raise Denied(action, resource)

    def allows(self, action, resource, context):
        try:
            self.require(action, resource, context)
        except Denied:
            return False
        return True


class Guard:
    """The policies by access key id, and what was denied and allowed under them."""

    def __init__(self):
        self.policies, self.denied, self.asked = {}, [], []

    def set(self, key, text):
        self.policies[key] = Policy(text)
        self.denied.clear()
        self.asked.clear()

    def check(self, environ, body, call):
        """Raises Denied, or returns what S3 is to answer in place of "not found"."""
        key = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split("/")[0]
        policy = self.policies.get(key)
        if policy is None:
            return None
        try:
            return self.check_by(policy, environ, body, call)
        except Denied as denied:
            self.denied.append(str(denied))
            raise

    def check_by(self, policy, environ, body, call):
        if call.service == "s3":
            return self.check_s3(policy, environ)
        if call.service == "sns":
            resource = dict(parse_qsl((body or b"").decode())).get("TopicArn", "*")
            self.asked.append((call.operation, f"sns:{call.operation}"))
            policy.require(f"sns:{call.operation}", resource, {})
            return None
        if call.service == "sts":
            self.asked.append((call.operation, f"sts:{call.operation}"))
            policy.require(f"sts:{call.operation}", dict(parse_qsl(body.decode())).get("RoleArn", "*"), {})
            return None
        fields = json.loads(body or b"{}")
        if call.service == "secretsmanager":
            resource = self.secret(fields["SecretId"])
        elif call.service == "ssm":
            name = re.sub(r":\d+$", "", fields["Name"])
            resource = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name.lstrip('/')}"
        else:
            resource = "*"
        action = f"{call.service}:{call.operation}"
        self.asked.append((call.operation, action))
        policy.require(action, resource, {})
        return None

    def secret(self, secret_id):
        found = corrections.find(secret_id)
        if found is not None:
            return found.arn
        return secret_id if secret_id.startswith("arn:") else f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{secret_id}"

    def check_s3(self, policy, environ):
        bucket, _, key = unquote(environ["PATH_INFO"]).strip("/").partition("/")
        query = dict(parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True))
        method, arn = environ["REQUEST_METHOD"], f"arn:aws:s3:::{bucket}"
        if not key:
            operation, action = ("ListObjectVersions", "s3:ListBucketVersions") if "versions" in query else ("ListObjectsV2", "s3:ListBucket")
            if method != "GET" or not ("versions" in query or "list-type" in query):
                raise Denied(f"s3:{method}", arn)
            self.asked.append((operation, action))
            policy.require(action, arn, {"s3:prefix": query.get("prefix")})
            return None
        resource = f"{arn}/{key}"
        if method in ("GET", "HEAD"):
            action = "s3:GetObjectVersion" if "versionId" in query else "s3:GetObject"
            self.asked.append(("GetObject", action))
            policy.require(action, resource, {})
            # Whoever may not list is not told that there is nothing.
            if policy.allows("s3:ListBucket", arn, {}):
                return None
            return lambda status: Denied("s3:ListBucket", arn) if status.startswith("404") else None
        if method == "PUT":
            context = {"s3:if-none-match": environ.get("HTTP_IF_NONE_MATCH"), "s3:if-match": environ.get("HTTP_IF_MATCH")}
            self.asked.append(("PutObject", "s3:PutObject"))
            policy.require("s3:PutObject", resource, context)
            if context["s3:if-match"] is not None:
                policy.require("s3:GetObject", resource, {})
            return None
        raise Denied(f"s3:{method}", resource)


def sentence(denied):
    who = f"arn:aws:sts::{ACCOUNT}:assumed-role/dizzy-keys-function/dizzy-keys"
    return (
        f"User: {who} is not authorized to perform: {denied.action} on resource: {denied.resource} "
        f"because no identity-based policy allows the {denied.action} action"
    )
