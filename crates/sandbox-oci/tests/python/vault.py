"""Vault through Oracle's SDK: contents, versions and stages, promotion, etags, deletions."""

import datetime

import oci
from oci.vault import models
from sandbox import active, encoded, equal, fact, refused, run, secrets, text, vaults

SECRET = fact("SECRET")


def content(value, **more):
    return models.Base64SecretContentDetails(content=encoded(value), **more)


def update(value, etag=None, **more):
    details = models.UpdateSecretDetails(secret_content=content(value, **more))
    return vaults().update_secret(SECRET, details, **({"if_match": etag} if etag else {}))


def promote(number, etag=None):
    details = models.UpdateSecretDetails(current_version_number=number)
    return vaults().update_secret(SECRET, details, **({"if_match": etag} if etag else {}))


def stages():
    listed = vaults().list_secret_versions(SECRET, sort_order="ASC").data
    return {version.version_number: version.stages for version in listed}


def reads_by_stage_number_and_name():
    first = secrets().get_secret_bundle(SECRET)
    equal(text(first), "first")
    equal(first.data.version_number, 1)
    equal(first.data.stages, ["CURRENT", "LATEST"])
    assert first.headers["etag"]
    update("second", stage="PENDING", name="rotation-2")
    active(SECRET)
    equal(text(secrets().get_secret_bundle(SECRET, stage="PENDING")), "second")
    equal(text(secrets().get_secret_bundle(SECRET, version_number=1)), "first")
    by_name = secrets().get_secret_bundle(SECRET, secret_version_name="rotation-2")
    equal((text(by_name), by_name.data.version_name), ("second", "rotation-2"))
    equal(text(secrets().get_secret_bundle_by_name("orders", fact("VAULT"))), "first")
    equal(text(secrets().get_secret_bundle_by_name("orders", fact("VAULT"), stage="LATEST")), "second")
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle, SECRET, secret_version_name="rotation-3")
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle, SECRET, stage="PREVIOUS")
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle_by_name, "nobody", fact("VAULT"))
    refused(400, "InvalidParameter", secrets().get_secret_bundle, SECRET, stage="PENDING", version_number=1)


def updates_and_promotes():
    answer = update("second", stage="PENDING", name="rotation-2")
    equal((answer.data.lifecycle_state, answer.data.current_version_number), ("UPDATING", 1))
    refused(409, "IncorrectState", update, "third")
    refused(409, "IncorrectState", vaults().list_secret_versions, SECRET)
    active(SECRET)
    equal(stages(), {1: ["CURRENT"], 2: ["PENDING", "LATEST"]})
    promote(2)
    equal(active(SECRET).data.current_version_number, 2)
    equal(stages(), {1: ["PREVIOUS"], 2: ["CURRENT", "LATEST"]})
    equal(text(secrets().get_secret_bundle(SECRET)), "second")
    update("third")
    active(SECRET)
    equal(stages(), {1: ["DEPRECATED"], 2: ["PREVIOUS"], 3: ["CURRENT", "LATEST"]})
    promote(2)
    active(SECRET)
    equal(stages(), {1: ["DEPRECATED"], 2: ["CURRENT"], 3: ["PREVIOUS", "LATEST"]})
    version = vaults().get_secret_version(SECRET, 2).data
    equal((version.name, version.stages, version.secret_id), ("rotation-2", ["CURRENT"], SECRET))
    bundles = secrets().list_secret_bundle_versions(SECRET, sort_order="ASC").data
    equal([bundle.version_number for bundle in bundles], [1, 2, 3])


def refuses_what_does_not_go_together():
    both = models.UpdateSecretDetails(current_version_number=1, secret_content=content("second"))
    refused(400, "InvalidParameter", vaults().update_secret, SECRET, both)
    rules = [models.SecretReuseRule(is_enforced_on_deleted_secret_versions=True)]
    both = models.UpdateSecretDetails(current_version_number=1, secret_rules=rules)
    refused(400, "InvalidParameter", vaults().update_secret, SECRET, both)
    refused(400, "InvalidParameter", promote, 7)
    refused(400, "InvalidParameter", update, "x" * (25 * 1024 + 1))
    refused(400, "InvalidParameter", update, "second", name="no spaces")
    update("second", stage="PENDING", name="rotation-2")
    active(SECRET)
    refused(409, "NotAuthorizedOrResourceAlreadyExists", update, "third", stage="PENDING", name="rotation-2")
    equal(stages(), {1: ["CURRENT"], 2: ["PENDING", "LATEST"]})


def a_second_pending_deprecates_the_first():
    update("second", stage="PENDING")
    active(SECRET)
    update("third", stage="PENDING")
    active(SECRET)
    equal(stages(), {1: ["CURRENT"], 2: ["DEPRECATED"], 3: ["PENDING", "LATEST"]})


def etags_guard_updates():
    seen = vaults().get_secret(SECRET).headers["etag"]
    update("second", etag=seen, stage="PENDING")
    settled = active(SECRET).headers["etag"]
    assert settled != seen
    refused(412, "NoEtagMatch", promote, 2, etag=seen)
    equal(stages(), {1: ["CURRENT"], 2: ["PENDING", "LATEST"]})
    promote(2, etag=settled)
    active(SECRET)
    equal(stages(), {1: ["PREVIOUS"], 2: ["CURRENT", "LATEST"]})


def deletes_deprecated_versions_only():
    for value in ["second", "third"]:
        update(value)
        active(SECRET)
    equal(stages(), {1: ["DEPRECATED"], 2: ["PREVIOUS"], 3: ["CURRENT", "LATEST"]})
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1, minutes=1)
    details = models.ScheduleSecretVersionDeletionDetails(time_of_deletion=soon)
    schedule = vaults().schedule_secret_version_deletion
    refused(409, "IncorrectState", schedule, SECRET, 2, details)
    too_soon = models.ScheduleSecretVersionDeletionDetails(time_of_deletion=soon - datetime.timedelta(hours=1))
    refused(400, "InvalidParameter", schedule, SECRET, 1, too_soon)
    schedule(SECRET, 1, details)
    assert vaults().get_secret_version(SECRET, 1).data.time_of_deletion is not None
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle, SECRET, version_number=1)
    vaults().cancel_secret_version_deletion(SECRET, 1)
    equal(text(secrets().get_secret_bundle(SECRET, version_number=1)), "first")
    schedule(SECRET, 1, models.ScheduleSecretVersionDeletionDetails())


def the_thirty_first_version_needs_a_deletion():
    for number in range(2, 31):
        update(f"content {number}")
        active(SECRET)
    refused(400, "LimitExceeded", update, "one too many")
    vaults().schedule_secret_version_deletion(SECRET, 1, models.ScheduleSecretVersionDeletionDetails())
    update("fits again")
    active(SECRET)
    pages = oci.pagination.list_call_get_all_results(vaults().list_secret_versions, SECRET, limit=7).data
    equal(sorted(version.version_number for version in pages), list(range(1, 32)))


def creates_lists_and_deletes_secrets():
    details = models.CreateSecretDetails(
        compartment_id=fact("COMPARTMENT"), vault_id=fact("VAULT"), key_id=fact("MASTER_KEY"),
        secret_name="made", secret_content=content("made"),
    )
    made = vaults().create_secret(details, opc_retry_token="once")
    equal(made.data.lifecycle_state, "CREATING")
    equal(vaults().create_secret(details, opc_retry_token="once").data.id, made.data.id)
    refused(409, "NotAuthorizedOrResourceAlreadyExists", vaults().create_secret, details)
    active(made.data.id)
    equal(text(secrets().get_secret_bundle(made.data.id)), "made")
    listed = vaults().list_secrets(fact("COMPARTMENT"), name="made").data
    equal([secret.id for secret in listed], [made.data.id])
    vaults().schedule_secret_deletion(made.data.id, models.ScheduleSecretDeletionDetails())
    equal(vaults().get_secret(made.data.id).data.lifecycle_state, "PENDING_DELETION")
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle, made.data.id)
    vaults().cancel_secret_deletion(made.data.id)
    equal(text(secrets().get_secret_bundle(made.data.id)), "made")


def a_reuse_rule_refuses_old_content():
    update("second")
    active(SECRET)
    refused(400, "InvalidParameter", update, "first")


def a_replica_is_read_only():
    equal(vaults().get_secret(SECRET).data.is_replica, True)
    equal(text(secrets().get_secret_bundle(SECRET)), "first")
    refused(409, "IncorrectState", update, "second")


def vault_says_that_it_rotates():
    found = vaults().get_secret(SECRET).data
    equal((found.rotation_status, found.rotation_config.is_scheduled_rotation_enabled), ("SCHEDULED", True))
    target = found.rotation_config.target_system_details
    equal((target.target_system_type, target.adb_id), ("ADB", "ocid1.autonomousdatabase.oc1.iad.orders"))


def may_read_only():
    equal(text(secrets().get_secret_bundle(SECRET)), "first")
    refused(404, "NotAuthorizedOrNotFound", vaults().get_secret, SECRET)
    refused(404, "NotAuthorizedOrNotFound", update, "second")
    refused(404, "NotAuthorizedOrNotFound", secrets().get_secret_bundle, fact("OTHER_SECRET"))


run({name: case for name, case in list(globals().items()) if callable(case)})
