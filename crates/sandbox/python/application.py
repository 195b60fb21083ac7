"""The application of the demo: logs in all the time, as a careful consumer of a rotated secret does.

An ordinary client: boto3 and psycopg, nothing of ours. It reads CURRENT afresh for every login, repeats nothing, and verifies the
server's certificate and host name. One JSON line per login on standard output, never with a password or an error's text.
It ends when its standard input does, so it never outlives the program that started it.

Argument: JSON with `secrets` (names), `databases` (name to the file of its authority) and `pause` (seconds between logins).
"""

import json
import os
import sys
import threading
import time

import boto3
import botocore.config
import botocore.exceptions
import psycopg


def main():
    settings = json.loads(sys.argv[1])
    once = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=10)
    client = boto3.client("secretsmanager", config=once)
    # Every secret with every database, again and again.
    pairs = [(secret, database) for secret in settings["secrets"] for database in settings["databases"]]
    over = threading.Event()
    threading.Thread(target=watch_input, args=(over,), daemon=True).start()
    number = 0
    while not over.is_set():
        secret, database = pairs[number % len(pairs)]
        began = time.time()
        line = {"n": number, "at": round(began, 4), "secret": secret, "database": database, "user": None}
        line.update(log_in(client, secret, database, settings["databases"][database]))
        line["ms"] = round((time.time() - began) * 1000, 1)
        print(json.dumps(line), flush=True)
        number += 1
        over.wait(settings["pause"])


def log_in(client, secret, database, authority):
    """One login with what the secret publishes at this moment: what came of it, without any text of a server."""
    try:
        published = json.loads(client.get_secret_value(SecretId=secret)["SecretString"])[database]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, KeyError, ValueError) as error:
        return {"ok": False, "why": "the secret cannot be read: " + type(error).__name__}
    user = published["username"]
    began = time.perf_counter()
    try:
        with psycopg.connect(
            host=published["host"],
            port=published["port"],
            dbname=published["dbname"],
            user=user,
            password=published["password"],
            sslmode="verify-full",
            sslrootcert=authority,
            connect_timeout=10,
            application_name="demo-application",
        ) as connection:
            connected = time.perf_counter()
            seen = connection.execute("SELECT session_user").fetchone()[0]
    except psycopg.Error as error:
        return {"ok": False, "user": user, "why": f"{type(error).__name__} {error.sqlstate or ''}".strip()}
    if seen != user:
        return {"ok": False, "user": user, "why": "the server sees somebody else"}
    return {"ok": True, "user": user, "connect_ms": round((connected - began) * 1000, 2)}


def watch_input(over):
    """Standard input carries nothing; that it ends is the message."""
    while os.read(0, 4096):
        pass
    over.set()


if __name__ == "__main__":
    main()
