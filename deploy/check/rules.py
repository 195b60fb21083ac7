"""House rules of the Terraform modules, on their parsed text: no secret in a state, rights as documented, nothing undocumented.

Each rule is a function that yields findings. `selftest.py` breaks a copy of the modules for each of them.
"""

import json
import re
from pathlib import Path

import hcl2

# What would put a secret into the state, whatever its arguments.
FORBIDDEN = {
    "resource": {
        "aws_iam_access_key",
        "aws_secretsmanager_secret_version",
        "oci_identity_api_key",
        "oci_vault_secret",
        "random_password",
        "random_string",
        "tls_private_key",
    },
    "data": {
        "aws_kms_secrets",
        "aws_secretsmanager_random_password",
        "aws_secretsmanager_secret_version",
        "aws_ssm_parameter",
        "oci_secrets_secretbundle",
        "oci_secrets_secretbundle_versions",
    },
}


def load(folder):
    """The module in a folder: {file name: parsed text}."""
    return {path.name: hcl2.loads(path.read_text()) for path in sorted(Path(folder).glob("*.tf"))}


def blocks(module, kind):
    """All `(type, name, body)` of resources, data sources or ephemeral resources."""
    for parsed in module.values():
        for block in parsed.get(kind, []):
            for typ, named in block.items():
                for name, body in named.items():
                    yield typ, name, body


def named(module, kind):
    """All `(name, body)` of variables, outputs or modules."""
    for parsed in module.values():
        for block in parsed.get(kind, []):
            yield from block.items()


def one(value):
    """The parser gives every attribute as a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def no_secret_in_state(module):
    for kind, types in FORBIDDEN.items():
        for typ, name, _ in blocks(module, kind):
            if typ in types:
                yield f"{kind} {typ}.{name}: its state would hold a secret"
    for typ, name, body in blocks(module, "resource"):
        if typ == "aws_ssm_parameter" and one(body.get("type")) == "SecureString" and "value" in body:
            yield f"{typ}.{name}: `value` would be in the state; use `value_wo`"


def documented(module):
    for kind, wanted in (("variable", ("description", "type")), ("output", ("description",))):
        for name, body in named(module, kind):
            for key in wanted:
                if not one(body.get(key)):
                    yield f"{kind} {name}: no {key}"


def references(module, texts):
    """Variables that are used are declared, and the other way round; so are locals."""
    text = "\n".join(texts)
    variables = {name for name, _ in named(module, "variable")}
    used = set(re.findall(r"\bvar\.([a-z_0-9]+)", text))
    yield from (f"var.{name} is not declared" for name in sorted(used - variables))
    yield from (f"variable {name} is used nowhere" for name in sorted(variables - used))
    declared = {key for parsed in module.values() for block in parsed.get("locals", []) for key in block if "__" not in key}
    used = set(re.findall(r"\blocal\.([a-z_0-9]+)", text))
    yield from (f"local.{name} is not declared" for name in sorted(used - declared))
    yield from (f"local {name} is used nowhere" for name in sorted(declared - used))
    known = {f"{t}.{n}" for t, n, _ in blocks(module, "resource")} | {f"data.{t}.{n}" for t, n, _ in blocks(module, "data")}
    known |= {f"ephemeral.{t}.{n}" for t, n, _ in blocks(module, "ephemeral")}
    pattern = r"(?<![\w.\"-])((?:data\.|ephemeral\.)?(?:aws|oci|random)_[a-z0-9_]+\.[a-z0-9_]+)(?=[\[.,\])\s}])"
    # Conditions of policies name keys, not resources; they stand in quotes and have no underscore before the dot.
    for name in sorted(set(re.findall(pattern, text)) - known):
        yield f"{name} is not declared"


def example(module, root):
    """What an example gives to a module is what the module asks for."""
    for name, body in named(module, "module"):
        target = load(Path(root) / one(body["source"]))
        variables = dict(named(target, "variable"))
        given = {key for key in body if key != "source" and "__" not in key}
        yield from (f"module {name}: knows no variable {key}" for key in sorted(given - variables.keys()))
        required = {key for key, value in variables.items() if "default" not in value}
        yield from (f"module {name}: {key} is required" for key in sorted(required - given))
        outputs = {key for key, _ in named(target, "output")}
        used = set(re.findall(rf"module\.{name}\.([a-z_]+)", "\n".join(p.read_text() for p in Path(root).glob("*.tf"))))
        yield from (f"module.{name}.{key}: there is no such output" for key in sorted(used - outputs))


def aws_statements(module, document):
    """The statements of a policy document, those that are made on a condition included."""
    for _, name, body in blocks(module, "data"):
        if name == document:
            yield from body.get("statement", [])
            for dynamic in body.get("dynamic", []):
                yield from dynamic["statement"]["content"]


def aws_rights_as_documented(module, docs):
    """The program's actions are those that the pages name: none more, none less, none with a wildcard."""
    granted = set()
    for statement in aws_statements(module, "rotator"):
        granted |= set(one(statement["actions"]))
    wanted = set()
    for page in ("aws.md", "journal.md", "audit.md"):
        wanted |= set(re.findall(r"\b((?:secretsmanager|ssm|s3|kms):[A-Z][a-z]+[A-Za-z]+)\b", (docs / page).read_text()))
    # For people who verify the trail, not for the function.
    wanted -= {"s3:ListBucketVersions"}
    yield from (f"action {action}: granted, and no page says that it is needed" for action in sorted(granted - wanted))
    yield from (f"action {action}: a page says that it is needed, and it is not granted" for action in sorted(wanted - granted))


VERB = re.compile(r"allow \S+ \S+ to (\w+) ([a-z-]+) in compartment id \S+ where (.*)$", re.IGNORECASE)


def _shape(statement):
    """Verb, kind, and condition without names: what is left to compare."""
    found = VERB.match(re.sub(r"\$\{local\.who\}", "dynamic-group x", statement).replace("${", "").strip())
    if found is None:
        return None
    verb, kind, condition = found.groups()
    permissions = frozenset(re.findall(r"request\.permission\s*=\s*'([A-Z_]+)'", condition))
    targets = frozenset(re.findall(r"target\.[a-z.]+", condition))
    return verb.lower(), kind, permissions, targets


def oci_statements(text):
    return re.findall(r'"(allow [^\n]+)",?\n', text)


def oci_rights_as_documented(text, docs):
    page = (docs / "oci.md").read_text()
    wanted = {_shape(line) for line in re.findall(r"^allow .*$", page, re.MULTILINE)} - {None}
    granted = {_shape(line) for line in oci_statements(text) if "local.who" in line}
    if None in granted:
        yield "a statement of the function has no condition, or cannot be read"
        granted.discard(None)
    objects = {shape for shape in granted if shape[1] == "objects"}
    show = lambda shape: f"{shape[0]} {shape[1]} {sorted(shape[2])} where {sorted(shape[3])}"
    yield from (f"{show(s)}: granted, and docs/oci.md does not name it" for s in granted - objects - wanted)
    yield from (f"{show(s)}: docs/oci.md names it, and it is not granted" for s in wanted - granted)
    # Objects: permissions are named in prose there, so only their set is compared, and that nothing can be deleted.
    allowed = set(re.findall(r"`(OBJECT_[A-Z]+)`", page + (docs / "journal.md").read_text()))
    for shape in objects:
        if not shape[2] or shape[2] - allowed or "target.bucket.name" not in shape[3]:
            yield f"{show(shape)}: objects need named permissions out of {sorted(allowed)} and a bucket"


def rendered_policy(module):
    """The function's AWS policy with example names in place of references, as JSON: for a linter of policies."""
    arn = "arn:aws:secretsmanager:us-west-2:111122223333:secret:prod/orders-AbCdEf"
    examples = {
        "PublishedSecrets": [arn],
        "ReferencedSecrets": [arn],
        "Parameters": ["arn:aws:ssm:us-west-2:111122223333:parameter/dizzy-keys/audit-key"],
        "Registers": ["arn:aws:s3:::journal/journal/*"],
        "Trail": ["arn:aws:s3:::audit/audit/*"],
        "Absence": ["arn:aws:s3:::journal", "arn:aws:s3:::audit"],
        "OwnKey": ["arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
    }
    examples["KeysOfPublishedSecrets"] = examples["KeysOfReferences"] = examples["OwnKey"]
    statements = []
    for statement in aws_statements(module, "rotator"):
        sid = one(statement["sid"])
        entry = {"Sid": sid, "Effect": one(statement.get("effect", ["Allow"])), "Action": one(statement["actions"]), "Resource": examples[sid]}
        for condition in statement.get("condition", []):
            values = one(condition["values"])
            values = [arn] if isinstance(values, str) else [re.sub(r"\$\{local\.region\}", "us-west-2", v) for v in values]
            entry.setdefault("Condition", {}).setdefault(one(condition["test"]), {})[one(condition["variable"])] = values
        statements.append(entry)
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)
