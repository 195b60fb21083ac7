"""What every script shares: Oracle's SDK pointed at the emulator, without retries, and checks of refusals.

A script is called with the name of a case and reads its facts (configuration file, endpoints, names) from the environment.
"""

import base64
import os
import sys

import oci

CONFIG = oci.config.from_file(os.environ["OCI_CONFIG_FILE"])
NO_RETRY = oci.retry.NoneRetryStrategy()


def endpoint(service):
    return os.environ["OCI_ENDPOINT_" + service]


def client(kind, service, version, **more):
    """A client of Oracle's SDK for one service of the emulator."""
    options = {"retry_strategy": NO_RETRY, "service_endpoint": endpoint(service) + version, "timeout": (5, 20)}
    return kind(CONFIG, **{**options, **more})


def secrets(**more):
    return client(oci.secrets.SecretsClient, "SECRETS", "/20190301", **more)


def vaults(**more):
    return client(oci.vault.VaultsClient, "VAULTS", "/20180608", **more)


def storage(**more):
    return client(oci.object_storage.ObjectStorageClient, "OBJECTSTORAGE", "", **more)


def databases(**more):
    return client(oci.database.DatabaseClient, "DATABASE", "/20160918", **more)


def fact(name):
    return os.environ[name]


def text(bundle):
    return base64.b64decode(bundle.data.secret_bundle_content.content).decode()


def encoded(content):
    return base64.b64encode(content.encode()).decode()


def refused(status, code, call, *args, **kwargs):
    """The call must be refused in exactly this way."""
    try:
        answer = call(*args, **kwargs)
    except oci.exceptions.ServiceError as error:
        found = (error.status, error.code)
        assert found == (status, code), f"refused with {found}, expected {(status, code)}: {error.message}"
        assert status == 304 or error.request_id, "a refusal has a request id"
        return error
    raise AssertionError(f"not refused: {answer.status} {answer.data}")


def equal(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


def active(secret):
    """Polls as the SDK's users do, without pausing: in the emulator, polls are what makes time pass."""
    for _ in range(20):
        answer = vaults().get_secret(secret)
        if answer.data.lifecycle_state == "ACTIVE":
            return answer
    raise AssertionError(f"still {answer.data.lifecycle_state}")


def run(cases):
    cases[sys.argv[1]]()
    print("ok")
