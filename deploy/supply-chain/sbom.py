"""The bill of materials of the program, as CycloneDX 1.6 and SPDX 2.3, from what Cargo says. Reaches no network and builds nothing.

Usage: sbom.py OUTPUT-FOLDER [TARGET-TRIPLE]. What is linked into the program is `required`; what only helps to build it (build scripts,
procedural macros) is `excluded` in CycloneDX and a build tool in SPDX. The same tree gives the same bytes: the time is the commit's
(or SOURCE_DATE_EPOCH), the serial number a digest of the content.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import uuid
from datetime import datetime, timezone
from pathlib import Path

PROGRAM = "dizzy-keys"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def cargo(*arguments):
    """What cargo prints. Offline and locked: the answer is about this tree, and fails if the tree's packages are not here."""
    command = ["cargo", arguments[0], "--locked", "--offline", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"sbom: `{' '.join(command)}` failed (run `cargo fetch --locked` once):\n{done.stderr.strip()}")
    return done.stdout


def tree(triple, edges):
    """Names and versions that the program is made of, along these edges, with the features that a release is built with."""
    text = cargo("tree", "--package", PROGRAM, "--edges", edges, "--target", triple, "--prefix", "none", "--format", "{p}")
    return {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in text.splitlines() if line.strip()}


def moment():
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch is None:
        shown = subprocess.run(["git", "show", "--no-patch", "--format=%ct", "HEAD"], capture_output=True, text=True, check=False)
        epoch = shown.stdout.strip() or "0"
    return datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def locked(text):
    """Checksums by (name, version). Cargo writes one key per line; Python reads TOML itself only from 3.11 on."""
    blocks = [dict(re.findall(r'^(name|version|checksum) = "([^"]*)"$', block, re.MULTILINE)) for block in text.split("[[package]]")[1:]]
    return {(block["name"], block["version"]): block.get("checksum") for block in blocks}


def collect(triple):
    """Packages by (name, version), with licence, digest, whether it is linked, and what it depends on."""
    linked = tree(triple, "normal,no-proc-macro")
    everything = linked | tree(triple, "normal,build")
    metadata = json.loads(cargo("metadata", "--format-version", "1", "--filter-platform", triple))
    digests = locked(Path("Cargo.lock").read_text())
    keys = {package["id"]: (package["name"], package["version"]) for package in metadata["packages"]}
    dependencies = {keys[node["id"]]: sorted({keys[d["pkg"]] for d in node["deps"] if ships(d)}) for node in metadata["resolve"]["nodes"]}
    packages = {}
    for package in metadata["packages"]:
        key = keys[package["id"]]
        if key not in everything:
            continue
        if package["source"] not in (None, REGISTRY):
            sys.exit(f"sbom: {key[0]} comes from {package['source']}, which is neither this repository nor the registry")
        if package["source"] and not digests.get(key):
            sys.exit(f"sbom: Cargo.lock has no checksum for {key[0]} {key[1]}")
        packages[key] = {
            "licence": (package["license"] or "").replace("/", " OR ") or None,
            "digest": digests.get(key),
            "linked": key in linked,
            "ours": package["source"] is None,
            "description": package["description"],
            "repository": package["repository"],
            "dependencies": [d for d in dependencies[key] if d in everything],
        }
    missing = everything - packages.keys()
    if missing:
        sys.exit(f"sbom: cargo's tree and its metadata disagree about {sorted(missing)}")
    return packages


def ships(dependency):
    """Whether an edge is more than a development dependency."""
    return any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])


def purl(key, package):
    name, version = key
    # What is ours is on no registry; a purl would claim that it is.
    return f"pkg:generic/{name}@{version}" if package["ours"] else f"pkg:cargo/{name}@{version}"


def cyclonedx(packages, time):
    root = next(key for key in packages if key[0] == PROGRAM)

    def component(key, package):
        out = {
            "type": "application" if key == root else "library",
            "bom-ref": purl(key, package),
            "name": key[0],
            "version": key[1],
            "purl": purl(key, package),
        }
        if key != root:
            out["scope"] = "required" if package["linked"] else "excluded"
        if package["licence"]:
            out["licenses"] = [{"expression": package["licence"]}]
        if package["digest"]:
            out["hashes"] = [{"alg": "SHA-256", "content": package["digest"]}]
        if package["repository"] and package["repository"].startswith("https://"):
            out["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
        return out

    body = {
        "metadata": {"timestamp": time, "component": component(root, packages[root])},
        "components": [component(key, package) for key, package in sorted(packages.items()) if key != root],
        "dependencies": [
            {"ref": purl(key, package), "dependsOn": [purl(d, packages[d]) for d in package["dependencies"]]}
            for key, package in sorted(packages.items())
        ],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_URL, hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest())
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{serial}", "version": 1, **body}


def spdx(packages, time):
    def identifier(key):
        return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.-]", "-", f"{key[0]}-{key[1]}")

    root = next(key for key in packages if key[0] == PROGRAM)
    listed = []
    for key, package in sorted(packages.items()):
        entry = {
            "SPDXID": identifier(key),
            "name": key[0],
            "versionInfo": key[1],
            "downloadLocation": "NOASSERTION" if package["ours"] else f"https://crates.io/api/v1/crates/{key[0]}/{key[1]}/download",
            "filesAnalyzed": False,
            "licenseDeclared": package["licence"] or "NOASSERTION",
            "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "primaryPackagePurpose": "APPLICATION" if key == root else "LIBRARY",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(key, package)}],
        }
        if package["digest"]:
            entry["checksums"] = [{"algorithm": "SHA256", "checksumValue": package["digest"]}]
        listed.append(entry)
    relations = [{"spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": identifier(root)}]
    for key, package in sorted(packages.items()):
        for other in package["dependencies"]:
            if packages[other]["linked"]:
                relations.append({"spdxElementId": identifier(key), "relationshipType": "DEPENDS_ON", "relatedSpdxElement": identifier(other)})
            else:
                relations.append({"spdxElementId": identifier(other), "relationshipType": "BUILD_DEPENDENCY_OF", "relatedSpdxElement": identifier(key)})
    digest = hashlib.sha256(json.dumps([listed, relations], sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{PROGRAM}-{root[1]}",
        "documentNamespace": f"https://spdx.org/spdxdocs/{PROGRAM}-{root[1]}-{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "creationInfo": {"created": time, "creators": [f"Tool: {PROGRAM}-sbom"]},
        "packages": listed,
        "relationships": relations,
    }


def main(folder, triple):
    packages = collect(triple)
    time = moment()
    folder.mkdir(parents=True, exist_ok=True)
    for name, document in ((f"{PROGRAM}.cdx.json", cyclonedx(packages, time)), (f"{PROGRAM}.spdx.json", spdx(packages, time))):
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")
    linked = sum(package["linked"] for package in packages.values())
    print(f"sbom: {linked} packages in the program, {len(packages) - linked} that only build it; {folder}/{PROGRAM}.cdx.json, {PROGRAM}.spdx.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else f"{os.uname().machine}-unknown-linux-gnu")
