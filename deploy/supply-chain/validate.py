"""Is a bill of materials what its format demands? Against the schemas that the format's own Python packages bring.

Usage: validate.py FOLDER. Exits with 1 and the reason if one is not, or if it lists nothing.
"""

import json
import sys
from pathlib import Path

from cyclonedx.schema import _res
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def cyclonedx(path):
    folder = Path(_res.__file__).parent if getattr(_res, "__file__", None) else Path(next(iter(_res.__path__)))
    schemas = {name: json.loads((folder / f"{name}.SNAPSHOT.schema.json").read_text()) for name in ("bom-1.6", "spdx", "jsf-0.82")}
    registry = Registry().with_resources((schema["$id"], Resource.from_contents(schema)) for schema in schemas.values())
    document = json.loads(path.read_text())
    for error in Draft7Validator(schemas["bom-1.6"], registry=registry).iter_errors(document):
        yield f"{path.name}: {error.json_path}: {error.message[:200]}"
    references = [c["bom-ref"] for c in document["components"]] + [document["metadata"]["component"]["bom-ref"]]
    if len(set(references)) != len(references):
        yield f"{path.name}: a package is listed twice"
    if len(references) < 10:
        yield f"{path.name}: lists {len(references)} packages only"
    for entry in document["dependencies"]:
        for reference in (entry["ref"], *entry["dependsOn"]):
            if reference not in set(references):
                yield f"{path.name}: {reference} is depended on and not listed"


def spdx(path):
    for message in validate_full_spdx_document(parse_file(str(path))):
        yield f"{path.name}: {message.validation_message}"


if __name__ == "__main__":
    root = Path(sys.argv[1])
    found = [*cyclonedx(root / "dizzy-keys.cdx.json"), *spdx(root / "dizzy-keys.spdx.json")]
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
