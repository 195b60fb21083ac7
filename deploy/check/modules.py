"""Checks the Terraform modules and the pages under a root; prints one line per finding and exits with 1 if there is one.

Usage: modules.py ROOT, the repository.
"""

import json
import sys
from pathlib import Path

import pages
import provider_names
import rules


def findings(root):
    terraform, docs = root / "deploy/terraform", root / "docs"
    folders = [terraform / "aws", terraform / "oci", *sorted((terraform / "examples").iterdir())]
    for folder in folders:
        module = rules.load(folder)
        texts = [path.read_text() for path in sorted(folder.glob("*.tf"))]
        found = [*rules.no_secret_in_state(module), *rules.documented(module), *rules.references(module, texts)]
        found += rules.example(module, folder)
        found += provider_names.findings(rules.blocks(module, "resource"))
        if folder.name == "aws":
            found += rules.aws_rights_as_documented(module, docs)
            found += rules.aws_rights_as_emitted(module, terraform / "examples/two-clouds")
            found += policy(module)
        if folder.name == "oci":
            found += rules.oci_rights_as_documented((folder / "rights.tf").read_text(), docs)
            found += rules.oci_rights_as_emitted((folder / "rights.tf").read_text(), terraform / "examples/two-clouds")
        yield from (f"{folder.relative_to(root)}: {line}" for line in found)
    yield from pages.findings(root)


def policy(module):
    """What parliament, a linter that knows AWS's actions, resources and condition keys, says of the function's policy."""
    from parliament import analyze_policy_string

    document = json.loads(rules.rendered_policy(module))
    for statement in document["Statement"]:
        # It knows `Null` with one value only.
        for key, values in statement.get("Condition", {}).get("Null", {}).items():
            statement["Condition"]["Null"][key] = values[0]
    for found in analyze_policy_string(json.dumps(document)).findings:
        yield f"policy: {found.issue} {found.detail}"


if __name__ == "__main__":
    lines = list(findings(Path(sys.argv[1]).resolve()))
    print("\n".join(lines), end="\n" if lines else "")
    sys.exit(1 if lines else 0)
