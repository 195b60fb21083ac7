"""The judge of both clouds: reads what consumers read and logs in as they do, with the vendors' own clients and nothing of ours.

boto3 for Secrets Manager, Oracle's SDK for Vault, psycopg for PostgreSQL, python-oracledb (thin) for Oracle. One JSON request per line on
standard input, one JSON answer per line on standard output; errors are told by their kind and number, never by their text. Nothing is
repeated. It ends when its standard input does.

Argument: JSON with `endpoints` (OCI, by the names of their variables) and `oci_config` (file); both empty if OCI is not asked for.
"""

import base64
import json
import sys

import boto3
import botocore.config
import oci
import oracledb
import psycopg

ONCE = botocore.config.Config(retries={"total_max_attempts": 1}, connect_timeout=10, read_timeout=10)


class Judge:
    def __init__(self, settings):
        self.aws = boto3.client("secretsmanager", config=ONCE)
        self.bundles = self.vaults = None
        if settings["oci_config"]:
            config = oci.config.from_file(settings["oci_config"])
            never = oci.retry.NoneRetryStrategy()
            ends = settings["endpoints"]
            self.bundles = oci.secrets.SecretsClient(
                config, service_endpoint=ends["OCI_ENDPOINT_SECRETS"], retry_strategy=never
            )
            self.vaults = oci.vault.VaultsClient(
                config, service_endpoint=ends["OCI_ENDPOINT_VAULTS"], retry_strategy=never
            )

    def secrets_manager(self, secret, stage="AWSCURRENT"):
        """What has a label in Secrets Manager."""
        answer = self.aws.get_secret_value(SecretId=secret, VersionStage=stage)
        return {"text": answer["SecretString"], "version": answer["VersionId"]}

    def vault(self, secret, stage="CURRENT"):
        """What has a stage in Vault."""
        bundle = self.bundles.get_secret_bundle(secret, stage=stage).data
        text = base64.b64decode(bundle.secret_bundle_content.content).decode()
        return {"text": text, "version": str(bundle.version_number)}

    def vault_versions(self, secret):
        """Every version of a secret in Vault."""
        versions = oci.pagination.list_call_get_all_results(self.vaults.list_secret_versions, secret).data
        return {
            "versions": [
                {"n": v.version_number, "name": v.name, "stages": v.stages, "leaving": v.time_of_deletion is not None}
                for v in versions
            ]
        }

    def postgres(self, host, port, dbname, user, password, authority):
        """One login to PostgreSQL."""
        try:
            with psycopg.connect(
                host=host, port=port, dbname=dbname, user=user, password=password,
                sslmode="verify-full", sslrootcert=authority, connect_timeout=10,
            ) as connection:  # fmt: skip
                seen = connection.execute("SELECT session_user").fetchone()[0]
        except psycopg.Error as error:
            return {"in": False, "why": f"{type(error).__name__} {error.sqlstate or ''}".strip()}
        return {"in": seen == user, "why": "" if seen == user else "the server sees somebody else"}

    def oracle(self, service, user, password, wallet, wallet_password):
        """One login to Oracle, through a wallet in a folder."""
        try:
            with oracledb.connect(
                user=user, password=password, dsn=service,
                config_dir=wallet, wallet_location=wallet, wallet_password=wallet_password,
                retry_count=0, tcp_connect_timeout=10,
            ) as connection:  # fmt: skip
                with connection.cursor() as cursor:
                    seen = cursor.execute("SELECT USER FROM DUAL").fetchone()[0]
        except oracledb.Error as error:
            return {"in": False, "why": error.args[0].full_code if error.args else type(error).__name__}
        same = seen == user.upper()
        return {"in": same, "why": "" if same else "the server sees somebody else"}


def main():
    judge = Judge(json.loads(sys.argv[1]))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(judge, request.pop("ask"))(**request)
        except oci.exceptions.ServiceError as error:
            answer = {"error": f"{error.status} {error.code}"}
        except Exception as error:  # whatever it is, the test that asked wants to know its kind
            code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
            answer = {"error": f"{type(error).__name__} {code}".strip()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
