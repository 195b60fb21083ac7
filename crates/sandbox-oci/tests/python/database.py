"""The Database service through Oracle's SDK: wallets, and ADMIN's password."""

from oci.database import models
from sandbox import databases, equal, fact, refused, run

DATABASE = fact("DATABASE")


def wallet(password, **more):
    details = models.GenerateAutonomousDatabaseWalletDetails(password=password, **more)
    return databases().generate_autonomous_database_wallet(DATABASE, details)


def admin(password):
    details = models.UpdateAutonomousDatabaseDetails(admin_password=password)
    return databases().update_autonomous_database(DATABASE, details)


def makes_a_wallet():
    equal(wallet("Wallet-Pass1", generate_type="SINGLE").data.content, b"SINGLE wallet under Wallet-Pass1")
    refused(400, "InvalidParameter", wallet, "short1")
    refused(400, "InvalidParameter", wallet, "onlyletters")


def changes_the_password_of_admin():
    equal(databases().get_autonomous_database(DATABASE).data.lifecycle_state, "AVAILABLE")
    changed = admin("Second-Password2")
    equal(changed.data.lifecycle_state, "UPDATING")
    assert changed.headers["opc-work-request-id"]
    refused(409, "IncorrectState", admin, "Third-Password3")
    while databases().get_autonomous_database(DATABASE).data.lifecycle_state != "AVAILABLE":
        pass
    for bad in ["Short-1", "no-upper-case-1", "NO-LOWER-CASE-1", "No-Digit-In-Here", 'With-"-Quote-11', "My-Admin-Pass1"]:
        refused(400, "InvalidParameter", admin, bad)
    refused(400, "InvalidParameter", admin, "First-Password1")
    refused(400, "InvalidParameter", admin, "Second-Password2")


def may_read_the_wallet_only():
    wallet("Wallet-Pass1")
    refused(404, "NotAuthorizedOrNotFound", admin, "Second-Password2")
    refused(404, "NotAuthorizedOrNotFound", databases().get_autonomous_database, DATABASE)


run({name: case for name, case in list(globals().items()) if callable(case)})
