"""Breaks a copy of the deployment once per check and demands that the check finds it. A check that cannot fail is none.

Usage: selftest.py ROOT. Prints one line per mistake that was not found and exits with 1 if there is one.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import modules

AWS, OCI, EXAMPLE = "deploy/terraform/aws", "deploy/terraform/oci", "deploy/terraform/examples/two-clouds"

# (file, text, what it becomes, what a finding must say)
MISTAKES = [
    (f"{AWS}/key.tf", "value_wo         = ephemeral.random_password.audit_key.result", "value = ephemeral.random_password.audit_key.result", "would be in the state"),
    (f"{AWS}/key.tf", 'ephemeral "random_password" "audit_key"', 'resource "random_password" "audit_key"', "its state would hold a secret"),
    (f"{AWS}/rights.tf", '"secretsmanager:PutSecretValue",', '"secretsmanager:PutSecretValue",\n      "secretsmanager:DeleteSecret",', "DeleteSecret: granted, and no page"),
    (f"{AWS}/rights.tf", '      "secretsmanager:UpdateSecretVersionStage",\n', "", "UpdateSecretVersionStage: a page says"),
    (f"{AWS}/rights.tf", "resources = var.notify_topic_arns", "resources = var.read_secret_arns", "in policy-aws.json, and not granted"),
    (f"{OCI}/rights.tf", "request.permission = 'ONS_TOPIC_PUBLISH'", "request.permission = 'ONS_TOPIC_DELETE'", "use ons-topics"),
    (f"{AWS}/rights.tf", '"ssm:GetParameter"', '"ssm:*"', "ssm:*: granted, and no page"),
    (f"{AWS}/rights.tf", 'actions   = ["s3:ListBucket"]', 'actions   = ["s3:ListBucket", "s3:GetObject"]', "RESOURCE_MISMATCH"),
    (f"{AWS}/rights.tf", 'variable = "kms:ViaService"', 'variable = "kms:ThroughService"', "UNKNOWN_CONDITION"),
    (f"{AWS}/function.tf", "memory_size                    =", "memory_mb =", "knows no argument 'memory_mb'"),
    (f"{AWS}/function.tf", "    target_arn = aws_sqs_queue.dead_letters.arn\n", "", "'target_arn' is required"),
    (f"{AWS}/function.tf", "aws_sqs_queue.dead_letters.arn\n  }\n\n  logging", "aws_sqs_queue.dead_letter.arn\n  }\n\n  logging", "aws_sqs_queue.dead_letter is not declared"),
    (f"{AWS}/function.tf", "var.memory_mb", "var.memory", "var.memory is not declared"),
    (f"{AWS}/outputs.tf", '  description = "What the function runs as."\n', "", "output role_arn: no description"),
    (f"{OCI}/rights.tf", "where target.key.id = '${secret.key_id}'", "where 1 = 1", "use keys"),
    (f"{OCI}/rights.tf", "to manage secret-versions in", "to manage secret-family in", "manage secret-family"),
    (f"{OCI}/rights.tf", "request.permission = 'OBJECT_INSPECT'", "request.permission = 'OBJECT_DELETE'", "objects need named permissions"),
    (f"{AWS}/rights.tf", 'variable = "s3:if-match"', 'variable = "s3:if-none-match"', "in policy-aws.json, and not granted"),
    (f"{AWS}/rights.tf", "/${local.prefixes.audit}/*", "/*", "granted, and not in policy-aws.json"),
    (f"{OCI}/rights.tf", "target.object.name = '${wallet.object}', ", "", "granted, and not in policy-oci.txt"),
    (f"{OCI}/rights.tf", "any {request.permission = 'SECRET_READ', request.permission = 'SECRET_UPDATE'}", "request.permission = 'SECRET_READ'", "in policy-oci.txt, and not granted"),
    (f"{OCI}/buckets.tf", "time_rule_locked =", "rule_locked =", "knows no argument 'rule_locked'"),
    (f"{OCI}/function.tf", "memory_in_mbs      = var.memory_mb\n", "", "'memory_in_mbs' is required"),
    (f"{EXAMPLE}/main.tf", "image_digest   = var.oci_image_digest\n", "", "image_digest is required"),
    (f"{EXAMPLE}/main.tf", "alarm_topic_id = var", "alarm_topic = var", "knows no variable alarm_topic"),
    (f"{EXAMPLE}/main.tf", "module.oci.audit_sink", "module.oci.audit", "there is no such output"),
    ("docs/runbooks/3am.md", "dizzy-keys verify", "dizzy-keys mend", "no command `dizzy-keys mend"),
    ("docs/runbooks/lost-audit-key.md", "`dizzy-keys audit key rotate`", "`dizzy-keys audit key turn`", "no command `dizzy-keys audit key turn`"),
    ("docs/runbooks/adoption.md", "prepare SET --print-sql", "prepare SET --print", "has no option --print"),
    ("docs/runbooks/3am.md", "(lost-journal.md)", "(journal.md)", "leads nowhere"),
    ("docs/runbooks/leaving.md", "3am.md#stop-it-from-running", "3am.md#stop", "no such heading"),
    ("docs/deploy.md", "`make check-deploy`", "`make check-deployment`", "no target"),
]


def main(root):
    missed = 0
    for path, text, instead, expected in MISTAKES:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            for tree in ("deploy", "docs", "examples"):
                shutil.copytree(root / tree, copy / tree)
            for file in ("Makefile", "README.md", "SECURITY.md"):
                shutil.copy(root / file, copy / file)
            target = copy / path
            good = target.read_text()
            if good.count(text) < 1:
                print(f"{path}: the text to break is gone: {text!r}")
                missed += 1
                continue
            target.write_text(good.replace(text, instead, 1))
            if not any(expected in line for line in modules.findings(copy)):
                print(f"{path}: {text!r} -> {instead!r} was not found ({expected!r} expected)")
                missed += 1
    print(f"selftest: {len(MISTAKES) - missed} of {len(MISTAKES)} planted mistakes found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
