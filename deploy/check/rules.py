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
        wanted |= set(re.findall(r"\b((?:secretsmanager|ssm|s3|kms|sns):[A-Z][a-z]+[A-Za-z]+)\b", (docs / page).read_text()))
    # For people who verify the trail, not for the function; and keys of conditions.
    wanted -= {"s3:ListBucketVersions", "kms:ViaService", "kms:EncryptionContext"}
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


REGION, ACCOUNT = "us-west-2", "111122223333"
NAME = "dizzy-keys"


def example_values(with_keys):
    """What the expressions of rights.tf stand for in examples/two-clouds."""
    secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
    parameter = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{NAME}/"
    journal, audit = (f"arn:aws:s3:::{NAME}-{kind}-{ACCOUNT}-{REGION}" for kind in ("journal", "audit"))
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    keys = [key] if with_keys else []
    return {
        "var.published_secret_arns": [f"{secret}prod/orders-??????"],
        "var.read_secret_arns": [f"{secret}ops/oci-key-??????"],
        "var.secret_kms_key_arns": keys,
        "var.read_kms_key_arns": keys,
        "concat([aws_ssm_parameter.audit_key.arn,aws_ssm_parameter.config.arn],tolist(var.read_parameter_arns))": [
            f"{parameter}audit-key",
            f"{parameter}config",
        ],
        "concat([aws_kms_key.this.arn],tolist(var.read_kms_key_arns))": [key],
        "aws_kms_key.this.arn": [key],
        'aws_s3_bucket.this["journal"].arn': [journal],
        'aws_s3_bucket.this["audit"].arn': [audit],
        "local.prefixes.journal": ["journal"],
        "local.prefixes.audit": ["audit"],
        "local.region": [REGION],
        "var.notify_topic_arns": [f"arn:aws:sns:{REGION}:{ACCOUNT}:ops"],
    }


def evaluated(value, values):
    """A list of texts: one expression that is a list, or texts with expressions in them."""
    items = value if isinstance(value, list) else [value]
    if len(items) == 1 and isinstance(items[0], list):
        items = items[0]
    found = []
    for item in items:
        # The parser wraps expressions once more, and quotes what stands inside of a function's list.
        plain = re.sub(r"'\$\{([^{}]*)\}'", r"\1", item)
        whole = re.fullmatch(r"\$\{([^{}]*)\}", plain)
        if whole:
            found += values[whole[1].replace(" ", "")]
            continue
        text = item[3:-2] if item.startswith('${"') and item.endswith('"}') else item
        found.append(re.sub(r"\$\{([^{}]*)\}", lambda part: values[part[1].replace(" ", "")][0], text))
    return found


def rendered_policy(module, with_keys=True):
    """The function's AWS policy for examples/two-clouds, as JSON: for a linter of policies, and to be compared."""
    values = example_values(with_keys)
    statements = []
    for statement in aws_statements(module, "rotator"):
        entry = {"Sid": one(statement["sid"]), "Effect": one(statement.get("effect", ["Allow"]))}
        entry |= {"Action": evaluated(statement["actions"], values), "Resource": evaluated(statement["resources"], values)}
        for condition in statement.get("condition", []):
            test, variable = one(condition["test"]), one(condition["variable"])
            entry.setdefault("Condition", {}).setdefault(test, {})[variable] = evaluated(condition["values"], values)
        # A dynamic statement without resources is not made.
        if entry["Resource"]:
            statements.append(entry)
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _grants(text):
    """Every (action, resource, conditions) of a policy. Equals and Like are one operator for texts that hold the wildcards themselves."""
    for statement in json.loads(text)["Statement"]:
        if statement["Effect"] != "Allow":
            raise ValueError(f"{statement['Sid']}: only what is allowed is compared")
        conditions = frozenset(
            (test.replace("StringEquals", "StringLike"), key, tuple(sorted(values)))
            for test, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                yield action, resource, conditions


def _differences(granted, wanted, file):
    words = lambda grant: f"{grant[0]} on {grant[1]}" + (f" if {sorted(grant[2])}" if len(grant) > 2 and grant[2] else "")
    yield from (f"{words(grant)}: granted, and not in {file}" for grant in sorted(granted - wanted, key=str))
    yield from (f"{words(grant)}: in {file}, and not granted" for grant in sorted(wanted - granted, key=str))


def aws_rights_as_emitted(module, folder):
    """The module grants what `dizzy-keys policy aws` printed for the example; a test keeps those files equal to what is printed."""
    for file, with_keys in (("policy-aws.json", False), ("policy-aws-keys.json", True)):
        granted = set(_grants(rendered_policy(module, with_keys)))
        yield from _differences(granted, set(_grants((folder / file).read_text())), file)


def oci_rights_as_emitted(text, folder):
    """The same for OCI, statement by statement. What the example does not use (databases that make wallets, topics, registers) is not made."""
    place, group = "ocid1.compartment.oc1..example", f"dynamic-group {NAME}-function"
    common = {
        "local.who": group,
        "var.compartment_id": place,
        "oci_objectstorage_bucket.config.name": f"{NAME}-config",
        "oci_objectstorage_object.config.object": "dizzy-keys.toml",
        "oci_objectstorage_bucket.audit.name": f"{NAME}-audit",
        "secret.compartment_id": place,
        "secret.key_compartment_id": place,
        "secret.key_id": "ocid1.key.oc1..example",
        "wallet.compartment_id": place,
        "wallet.bucket": "wallets",
        "wallet.object": "orders.zip",
    }
    secrets = {"publish": "ordersexample", "references": "walletexample"}
    blocks = re.split(r"^  ([a-z]+)\s*= ", text, flags=re.MULTILINE)
    granted = set()
    for name, block in zip(blocks[1::2], blocks[2::2]):
        if name not in ("publish", "keys", "references", "wallets", "objects"):
            continue
        values = common | {"secret.id": f"ocid1.vaultsecret.oc1..{secrets.get(name, '')}"}
        for statement in re.findall(r'"(allow [^"\n]+)"', block):
            if "${compartment}" not in statement:
                granted.add(re.sub(r"\$\{([^{}]*)\}", lambda part: values[part[1]], statement))
    lines = (folder / "policy-oci.txt").read_text().splitlines()
    rule = re.search(r'matching_rule\s*= "(.*)"', text)[1].replace("${oci_functions_function.this.id}", "ocid1.fnfunc.oc1..example")
    if lines[0] != f"# matching rule of the {group.replace('dynamic-group', 'dynamic group')}: {rule}":
        yield f"the matching rule of the function is not that of policy-oci.txt: {rule}"
    wanted = set(lines[1:])
    yield from (f"{statement}: granted, and not in policy-oci.txt" for statement in sorted(granted - wanted))
    yield from (f"{statement}: in policy-oci.txt, and not granted" for statement in sorted(wanted - granted))
