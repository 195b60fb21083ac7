"""The list of dependencies inside of the program, in the form of cargo-auditable, which scanners of binaries read: section `.dep-v0`, JSON, zlib.

Usage: auditable.py add PROGRAM [TARGET-TRIPLE]    puts the list into the program
       auditable.py list PROGRAM                   prints it, one `NAME VERSION [build]` per line; needs nothing but the program

The list is what Cargo says of the program for this target, as in the bill of materials. Same tree, same bytes. `objcopy` of binutils does the work.
"""

import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import sbom

SECTION = ".dep-v0"


def document(triple):
    """Packages in order, each with the places of those it depends on."""
    packages = sbom.collect(triple)
    order = sorted(packages)
    places = {key: place for place, key in enumerate(order)}
    listed = []
    for key in order:
        package = packages[key]
        entry = {"name": key[0], "version": key[1], "source": "local" if package["ours"] else "crates.io"}
        if not package["linked"]:
            entry["kind"] = "build"
        if package["dependencies"]:
            entry["dependencies"] = sorted(places[d] for d in package["dependencies"])
        if key[0] == sbom.PROGRAM:
            entry["root"] = True
        listed.append(entry)
    return {"packages": listed}


def objcopy(*arguments):
    done = subprocess.run(["objcopy", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"auditable: objcopy failed: {done.stderr.strip()}")


def add(program, triple):
    text = json.dumps(document(triple), separators=(",", ":")).encode()
    with tempfile.NamedTemporaryFile() as file:
        file.write(zlib.compress(text, 9))
        file.flush()
        objcopy(f"--add-section={SECTION}={file.name}", f"--set-section-flags={SECTION}=noload,readonly", program)


def read(program):
    with tempfile.TemporaryDirectory() as folder:
        dumped = Path(folder) / "section"
        objcopy(f"--dump-section={SECTION}={dumped}", program, f"{folder}/copy")
        return json.loads(zlib.decompress(dumped.read_bytes()))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in ("add", "list"):
        sys.exit(__doc__)
    if sys.argv[1] == "add":
        add(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else f"{os.uname().machine}-unknown-linux-gnu")
    else:
        for entry in read(sys.argv[2])["packages"]:
            print(*(entry[key] for key in ("name", "version", "kind") if key in entry))
