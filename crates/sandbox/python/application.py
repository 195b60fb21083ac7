"""The application of the demo: logs in all the time, as a careful consumer of a rotated secret does.

Ordinary clients and nothing of ours: boto3 and Oracle's SDK for OCI read CURRENT afresh for every login, psycopg and python-oracledb log
in with it. It repeats nothing, and verifies certificates and host names. One JSON line per login on standard output, never with a
password or an error's text. It ends when its standard input does, so it never outlives the program that started it.

Argument: JSON with `secrets` (each `{"store": "aws" | "vault", "id"}`), `databases` (by name: `{"engine": "postgres", "authority"}` or
`{"engine": "oracle", "wallet", "wallet_password"}`), `pause` (seconds between logins) and, for Vault, `oci` (`{"config", "endpoint"}`).
"""

import base64
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
    read = readers(settings)
    # Every secret with every database, again and again.
    pairs = [(secret, database) for secret in settings["secrets"] for database in settings["databases"]]
    over = threading.Event()
    threading.Thread(target=watch_input, args=(over,), daemon=True).start()
    number = 0
    while not over.is_set():
        secret, database = pairs[number % len(pairs)]
        began = time.time()
        line = {"n": number, "at": round(began, 4), "secret": secret["id"], "database": database, "user": None}
        line.update(log_in(read[secret["store"]], secret["id"], database, settings["databases"][database]))
        line["ms"] = round((time.time() - began) * 1000, 1)
        print(json.dumps(line), flush=True)
        number += 1
        over.wait(settings["pause"])


def readers(settings):
    """A function per store that returns the text of CURRENT."""
    once = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=10)
    aws = boto3.client("secretsmanager", config=once)
    read = {"aws": lambda secret: aws.get_secret_value(SecretId=secret)["SecretString"]}
    if settings.get("oci"):
        # Takes seconds to load, and only a consumer in two clouds needs it.
        import oci

        config = oci.config.from_file(settings["oci"]["config"])
        vault = oci.secrets.SecretsClient(
            config, service_endpoint=settings["oci"]["endpoint"], retry_strategy=oci.retry.NoneRetryStrategy()
        )

        def read_vault(secret):
            try:
                bundle = vault.get_secret_bundle(secret).data
            except oci.exceptions.ServiceError as error:
                raise KeyError(error.code) from None
            return base64.b64decode(bundle.secret_bundle_content.content).decode()

        read["vault"] = read_vault
    return read


def log_in(read, secret, database, place):
    """One login with what the secret publishes at this moment: what came of it, without any text of a server."""
    try:
        published = json.loads(read(secret))[database]
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError, KeyError, ValueError) as error:
        return {"ok": False, "why": "the secret cannot be read: " + type(error).__name__}
    user = published["username"]
    began = time.perf_counter()
    connected, seen, why = {"postgres": postgres, "oracle": oracle}[place["engine"]](published, place)
    if why:
        return {"ok": False, "user": user, "why": why}
    if seen != user:
        return {"ok": False, "user": user, "why": "the server sees somebody else"}
    return {"ok": True, "user": user, "connect_ms": round((connected - began) * 1000, 2)}


def postgres(published, place):
    """Logs in to PostgreSQL: when it was connected, whom the server sees, and what went wrong."""
    try:
        with psycopg.connect(
            host=published["host"],
            port=published["port"],
            dbname=published["dbname"],
            user=published["username"],
            password=published["password"],
            sslmode="verify-full",
            sslrootcert=place["authority"],
            connect_timeout=10,
            application_name="demo-application",
        ) as connection:
            connected = time.perf_counter()
            return connected, connection.execute("SELECT session_user").fetchone()[0], None
    except psycopg.Error as error:
        return None, None, f"{type(error).__name__} {error.sqlstate or ''}".strip()


def oracle(published, place):
    """The same for Oracle, in python-oracledb's thin mode with a wallet."""
    import oracledb

    try:
        with oracledb.connect(
            user=published["username"],
            password=published["password"],
            dsn=published["service"],
            config_dir=place["wallet"],
            wallet_location=place["wallet"],
            wallet_password=place["wallet_password"],
            retry_count=0,
            tcp_connect_timeout=10,
        ) as connection:
            connected = time.perf_counter()
            with connection.cursor() as cursor:
                return connected, cursor.execute("SELECT USER FROM DUAL").fetchone()[0], None
    except oracledb.Error as error:
        return None, None, error.args[0].full_code if error.args else type(error).__name__


def watch_input(over):
    """Standard input carries nothing; that it ends is the message."""
    while os.read(0, 4096):
        pass
    over.set()


if __name__ == "__main__":
    main()
