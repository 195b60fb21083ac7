"""Makes moto's Secrets Manager behave as AWS documents it, and as harshly as the documents allow.

moto answers the happy path well, but several of its shortcuts would let a wrong client pass: a used token overwrites,
a plain read may return the version before the last move, moves are several steps, unlabelled versions live for ever.
Each correction quotes its source: [api] is the operation's own documentation (shipped with botocore under
data/secretsmanager/2017-10-17), [quotas] the user guide's page of quotas, [terraform] a comment in HashiCorp's AWS
provider that quotes the service's answer. What no source settles is marked [choice], and the harsher reading is taken.

Every function here is called with the server's one Secrets Manager lock held: a label moves in one step for all readers.
"""

import copy
import json
import time

from moto.secretsmanager.exceptions import (
    InvalidParameterException,
    InvalidRequestException,
    ResourceExistsException,
    SecretNotFoundException,
    SecretsManagerClientError,
)
from moto.secretsmanager.models import (
    FakeSecret,
    SecretsManagerBackend,
    secretsmanager_backends,
)

CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"

# [quotas] "Staging labels attached across all versions of a secret | 20".
MAX_LABELS = 20

WRITES = frozenset(
    ["CreateSecret", "PutSecretValue", "UpdateSecret", "UpdateSecretVersionStage", "RotateSecret"]
    + ["DeleteSecret", "RestoreSecret"]
)


class LimitExceeded(SecretsManagerClientError):
    def __init__(self):
        super().__init__("LimitExceededException", "The secret has too many staging labels.")


class Switches:
    """What the documents leave open; set through /dizzy/switches."""

    # [api, UpdateSecretVersionStage] "If this action results in the last label being removed from a version, then the
    # version is considered to be 'deprecated' and can be deleted by Secrets Manager." On: it is deleted at once.
    drop_unlabelled = True


# ---- reading and moving labels ------------------------------------------------------------------------------------


def holder(secret, label):
    """The id of the version that carries the label, or None. [quotas] "Versions attached to a label at the same time | 1"."""
    for version_id, version in secret.versions.items():
        if label in version["version_stages"]:
            return version_id
    return None


def has_value(version):
    return "secret_string" in version or "secret_binary" in version


def attach(secret, label, version_id):
    """Moves one label to a version; AWSPREVIOUS follows AWSCURRENT by itself.

    [api] "Whenever you move AWSCURRENT, Secrets Manager automatically moves the label AWSPREVIOUS to the version that
    AWSCURRENT was removed from." Other labels of that version stay ([choice]: no source says that they go).
    """
    old = holder(secret, label)
    if old == version_id:
        return
    if old is not None:
        secret.versions[old]["version_stages"].remove(label)
    secret.versions[version_id]["version_stages"].append(label)
    if label == CURRENT and old is not None:
        before = holder(secret, PREVIOUS)
        if before is not None:
            secret.versions[before]["version_stages"].remove(PREVIOUS)
        secret.versions[old]["version_stages"].append(PREVIOUS)


def check_label_quota(secret, added):
    labels = {label for version in secret.versions.values() for label in version["version_stages"]}
    if len(labels | set(added)) > MAX_LABELS:
        raise LimitExceeded()


def settle(secret):
    """After every request: what moto keeps on the side follows the labels, and deprecated versions may vanish."""
    if not isinstance(secret, FakeSecret):
        return
    # [api, GetSecretValue] "If you don't specify either a VersionStage or VersionId, then Secrets Manager returns the
    # AWSCURRENT version." moto keeps a second notion of the default version, which goes stale.
    secret.default_version_id = holder(secret, CURRENT)
    if Switches.drop_unlabelled:
        for version_id in [i for i, v in secret.versions.items() if not v["version_stages"]]:
            del secret.versions[version_id]


def all_secrets():
    for regions in list(secretsmanager_backends.values()):
        for backend in list(regions.values()):
            yield from list(dict.values(backend.secrets))


def find(secret_id):
    for secret in all_secrets():
        if secret_id in (secret.name, secret.arn):
            return secret
    return None


# ---- the operations -----------------------------------------------------------------------------------------------


def usable(backend, secret_id):
    if secret_id not in backend.secrets:
        raise SecretNotFoundException()
    secret = backend.secrets[secret_id]
    if secret.is_deleted():
        raise InvalidRequestException(
            "You can't perform this operation on the secret because it was marked for deletion."
        )
    return secret


def put_secret_value(self, secret_id, secret_string, secret_binary, client_request_token, version_stages):
    secret = usable(self, secret_id)
    version_id = self._from_client_request_token(client_request_token)
    existing = secret.versions.get(version_id)
    if existing is not None and has_value(existing):
        # [api] "If you call this operation with a ClientRequestToken that matches an existing version's VersionId, and
        # you specify the same secret data, the operation succeeds but does nothing. However, if the secret data is
        # different, then the operation fails because you can't modify an existing version". "Nothing" includes labels.
        same = existing.get("secret_string") == secret_string and existing.get("secret_binary") == secret_binary
        if not same:
            raise ResourceExistsException(
                f"You can't use ClientRequestToken {version_id} because that value is already in use for a version of "
                f"secret {secret.arn}."
            )
    else:
        # [api] "If this operation creates the first version for the secret, then Secrets Manager automatically attaches
        # the staging label AWSCURRENT to it."
        if not any(has_value(version) for version in secret.versions.values()) and holder(secret, CURRENT) is None:
            version_stages = sorted(set(version_stages) | {CURRENT})
        check_label_quota(secret, version_stages)
        # An existing version without a value is the one that RotateSecret made ahead of the rotation function.
        version = existing or {"version_id": version_id, "version_stages": [], "createdate": created()}
        if secret_string is not None:
            version["secret_string"] = secret_string
        if secret_binary is not None:
            version["secret_binary"] = secret_binary
        secret.versions[version_id] = version
        # [api] "If you specify a staging label that's already associated with a different version of the same secret,
        # then Secrets Manager removes the label from the other version and attaches it to this version."
        for label in version_stages:
            attach(secret, label, version_id)
    settle(secret)
    stages = list(secret.versions[version_id]["version_stages"]) if version_id in secret.versions else []
    return json.dumps({"ARN": secret.arn, "Name": secret.name, "VersionId": version_id, "VersionStages": stages})


def update_secret_version_stage(self, secret_id, version_stage, remove_from_version_id, move_to_version_id):
    secret = usable(self, secret_id)
    on = holder(secret, version_stage)
    for version_id in (remove_from_version_id, move_to_version_id):
        if version_id and version_id not in secret.versions:
            raise InvalidParameterException(f"Not a valid version: {version_id}")
    if not remove_from_version_id and not move_to_version_id:
        raise InvalidParameterException("You must specify RemoveFromVersionId or MoveToVersionId.")
    # [api, RemoveFromVersionId] "If the label is attached and you either do not specify this parameter, or the version
    # ID does not match, then the operation fails." [choice] That is taken to hold for a label that already is where it
    # should go, too: a repeated move fails.
    if on is not None and not remove_from_version_id:
        raise InvalidParameterException(
            f"The parameter RemoveFromVersionId can't be empty. Staging label {version_stage} is currently attached to "
            f"version {on}, so you must explicitly reference that version in RemoveFromVersionId."
        )
    if remove_from_version_id and on != remove_from_version_id:
        raise InvalidParameterException(
            f"Staging label {version_stage} is not attached to version {remove_from_version_id}."
        )
    if move_to_version_id:
        check_label_quota(secret, [version_stage])
        attach(secret, version_stage, move_to_version_id)
        # AWSPREVIOUS on the version that has just become AWSCURRENT has moved in attach().
    elif version_stage == CURRENT:
        # [terraform] "InvalidParameterException: You can only move staging label AWSCURRENT to a different secret
        # version. It can't be completely removed."
        raise InvalidParameterException(
            "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed."
        )
    else:
        secret.versions[on]["version_stages"].remove(version_stage)
    settle(secret)
    return secret.arn, secret.name


def get_secret_value(self, secret_id, version_id, version_stage):
    # The harsh order: a deleted secret is refused before anything is said about its versions.
    secret = usable(self, secret_id)
    if not version_id and not version_stage:
        version_stage = CURRENT
    return copy.deepcopy(ORIGINAL_GET(self, secret.arn, version_id, version_stage))


def reset_default_version(self, secret_version, version_id):
    """UpdateSecret and CreateSecret go through here; moto wipes every other label of the old version on the way."""
    self.versions[version_id] = secret_version
    secret_version["version_stages"] = [label for label in secret_version["version_stages"] if label != CURRENT]
    attach(self, CURRENT, version_id)
    self.default_version_id = version_id


def labelled_versions(self):
    # [api, DescribeSecret] "The VersionIdsToStages field in the response includes every version ID that has a staging
    # label attached, even if that version doesn't contain a secret value."
    return {i: list(v["version_stages"]) for i, v in self.versions.items() if v["version_stages"]}


def begin_rotation(secret, token):
    """What RotateSecret does before it calls the function: an empty version with that id, staged AWSPENDING."""
    if token in secret.versions:
        raise ValueError(f"version {token} exists")
    pending = holder(secret, PENDING)
    if pending is not None and pending != holder(secret, CURRENT):
        raise ValueError(f"a previous rotation isn't complete: {pending} is pending")
    secret.versions[token] = {"version_id": token, "version_stages": [], "createdate": created()}
    attach(secret, PENDING, token)
    settle(secret)


def own(secret, service):
    """The secret is managed by another service: moto reads OwningService from this tag."""
    tag = "aws:secretsmanager:owningService"
    secret.tags = [t for t in secret.tags or [] if t["Key"] != tag] + [{"Key": tag, "Value": service}]


def created():
    return int(time.time())


ORIGINAL_GET = SecretsManagerBackend.get_secret_value


def install():
    SecretsManagerBackend.put_secret_value = put_secret_value
    SecretsManagerBackend.update_secret_version_stage = update_secret_version_stage
    SecretsManagerBackend.get_secret_value = get_secret_value
    FakeSecret.reset_default_version = reset_default_version
    FakeSecret._form_version_ids_to_stages = labelled_versions


# ---- stale reads --------------------------------------------------------------------------------------------------


class Stale:
    """Reads that answer from the state before the last write, as an eventually consistent store may.

    One snapshot per secret is taken before each write; the next n reads of a secret marked stale see it: AWSCURRENT is
    the one before, labels are the ones before, a version just written is not there yet.
    """

    def __init__(self):
        self.before = {}
        self.left = {}

    def remember(self, secret):
        if isinstance(secret, FakeSecret):
            self.before[secret.arn] = copy.deepcopy(secret.versions)

    def mark(self, secret, times):
        if secret.arn not in self.before:
            raise ValueError(f"{secret.name} has not been written since the server started")
        self.left[secret.arn] = times

    def take(self, secret):
        """The state to read from, or None for the present one."""
        if not isinstance(secret, FakeSecret) or self.left.get(secret.arn, 0) <= 0:
            return None
        self.left[secret.arn] -= 1
        return copy.deepcopy(self.before[secret.arn])
