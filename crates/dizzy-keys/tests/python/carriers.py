"""Carries passwords through what people put them into, unquoted, and says which came back changed.

Reads a JSON list of passwords. Prints a JSON list of [carrier, index] of those that did not survive, and the carriers' names.
Every carrier is the real reader: sh, libpq, urllib, json, tomllib, shlex.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
import urllib.parse

import psycopg
from psycopg import conninfo


def shell_word(passwords):
    script = "".join(f"printf '%s\\n' {p}\n" for p in passwords)
    return subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout.splitlines()


def shell_assignment(passwords):
    script = "".join(f"X={p}; printf '%s\\n' $X\n" for p in passwords)
    return subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout.splitlines()


def shell_double_quotes(passwords):
    script = "".join(f'printf \'%s\\n\' "{p}"\n' for p in passwords)
    return subprocess.run(["sh"], input=script, capture_output=True, text=True, check=True).stdout.splitlines()


def dsn(passwords):
    return [conninfo.conninfo_to_dict(f"host=h password={p} dbname=d").get("password") for p in passwords]


def libpq_url(passwords):
    return [conninfo.conninfo_to_dict(f"postgresql://u:{p}@h:5432/d?sslmode=require").get("password") for p in passwords]


def url(passwords):
    return [urllib.parse.urlsplit(f"postgresql://u:{p}@h:5432/d").password for p in passwords]


def url_query(passwords):
    return [urllib.parse.parse_qs(f"user=u&password={p}&x=1", strict_parsing=True)["password"][0] for p in passwords]


def percent_encoding(passwords):
    return [urllib.parse.quote(p, safe="") for p in passwords]


def json_text(passwords):
    return [json.loads(f'{{"password":"{p}"}}')["password"] for p in passwords]


def toml_text(passwords):
    return [tomllib.loads(f'password = "{p}"')["password"] for p in passwords]


def words(passwords):
    return [shlex.split(f"-p {p} -x")[1] for p in passwords]


def pgpass(passwords):
    """libpq reads the file when a connection begins; the port is closed, so it goes no further."""
    with tempfile.NamedTemporaryFile("w", suffix=".pgpass") as file:
        file.writelines(f"127.0.0.1:1:d{n}:u:{p}\n" for n, p in enumerate(passwords))
        file.flush()
        os.chmod(file.name, 0o600)
        found = []
        for n in range(len(passwords)):
            begun = psycopg.pq.PGconn.connect_start(f"hostaddr=127.0.0.1 port=1 user=u dbname=d{n} passfile={file.name}".encode())
            found.append(begun.password.decode())
            begun.finish()
        return found


CARRIERS = [
    shell_word, shell_assignment, shell_double_quotes, dsn, libpq_url, url, url_query, percent_encoding, json_text, toml_text, words, pgpass,
]


def main():
    passwords = json.load(sys.stdin)
    changed = []
    for carrier in CARRIERS:
        for n, password in enumerate(passwords):
            # One at a time where one could break the reading of all.
            try:
                back = carrier([password]) if len(passwords) < 20 else None
            except Exception:
                back = [None]
            if back is not None and back != [password]:
                changed.append([carrier.__name__, n])
        if len(passwords) >= 20:
            back = carrier(passwords)
            changed.extend([carrier.__name__, n] for n in range(len(passwords)) if back[n : n + 1] != [passwords[n]])
    json.dump({"carriers": [carrier.__name__ for carrier in CARRIERS], "changed": changed}, sys.stdout)


main()
