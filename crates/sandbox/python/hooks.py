"""The test side of the server: faults on the next calls, stale reads, a log of calls. Everything under /dizzy/.

A fault is taken by the first call that fits (service operation, and secret if named), after `skip` fitting calls passed.
No value of a secret is ever logged or returned here.
"""

import json
from urllib.parse import parse_qsl
import select
import socket
import threading

import corrections

# A client that hangs is waited for at most this long: longer than any test's deadline, short enough to end by itself.
HANG_LIMIT_S = 120

FAULTS = ("refuse", "throttle", "drop-before", "drop-after", "hang", "hang-after", "late")


class Call:
    """One request, as far as the hooks look at it."""

    def __init__(self, environ, body):
        self.service, self.operation, self.secret, self.detail = "unknown", "unknown", None, {}
        scope = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].split(",")[0].split("/")
        if len(scope) == 5:
            self.service = scope[3]
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if "." in target:
            self.operation = target.rpartition(".")[2]
            self._json(body)
        elif self.service == "s3":
            # `BUCKET/KEY`; faults and the log treat it as they treat a secret's name.
            self.secret = environ.get("PATH_INFO", "/").strip("/")
            key = self.secret.partition("/")[2]
            self.operation = environ["REQUEST_METHOD"].capitalize() + ("Object" if key else "Bucket")
        elif body.startswith(b"Action="):
            self.operation = body[len(b"Action=") :].split(b"&")[0].decode()
            fields = dict(parse_qsl(body.decode()))
            self.detail = {name: fields[name] for name in ("RoleArn", "RoleSessionName", "ExternalId") if name in fields}

    def _json(self, body):
        try:
            fields = json.loads(body or b"{}")
        except ValueError:
            return
        self.secret = fields.get("SecretId") or fields.get("Name")
        names = ("VersionStage", "VersionStages", "VersionId", "MoveToVersionId", "RemoveFromVersionId")
        self.detail = {name: fields[name] for name in names + ("ClientRequestToken",) if name in fields}
        if "RotationToken" in fields:
            # The log holds no secret: which one it was is for the test to tell by its length.
            self.detail["RotationTokenLength"] = len(fields["RotationToken"])


class Fault:
    def __init__(self, fields):
        self.operation = fields["operation"]
        self.fault = fields["fault"]
        if self.fault not in FAULTS:
            raise ValueError(f"fault is one of {', '.join(FAULTS)}")
        self.secret = fields.get("secret")
        self.skip = int(fields.get("skip", 0))
        self.times = int(fields.get("times", 1))
        self.status = int(fields.get("status", 400))
        self.code = fields.get("code", "ThrottlingException" if self.fault == "throttle" else "AccessDeniedException")

    def fits(self, call):
        if self.operation != call.operation or self.times <= 0:
            return False
        if self.secret is not None and not same_secret(self.secret, call.secret):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


def same_secret(named, called):
    if named == called:
        return True
    secret = corrections.find(named)
    return secret is not None and called in (secret.name, secret.arn)


class Hooks:
    def __init__(self):
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.faults = []
        self.calls = []
        # Requests held by a fault; those of kind `late` are applied when released.
        self.held = 0
        self.releases = 0
        self.late_waiting = 0
        self.stale = corrections.Stale()

    # ---- used by the server ---------------------------------------------------------------------------------------

    def begin(self, call):
        with self.lock:
            fault = next((fault for fault in self.faults if fault.fits(call)), None)
            entry = {"n": len(self.calls), "service": call.service, "operation": call.operation}
            entry |= {"secret": call.secret, "fault": fault.fault if fault else None, "status": None, **call.detail}
            self.calls.append(entry)
            return fault, entry

    def hold_until_client_leaves(self, client):
        """Waits until the client has closed its side."""
        with self.changed:
            self.held += 1
            self.changed.notify_all()
        try:
            readable, _, _ = select.select([client], [], [], HANG_LIMIT_S)
            if readable:
                client.recv(1, socket.MSG_PEEK)
        except OSError:
            pass
        finally:
            with self.changed:
                self.held -= 1
                self.changed.notify_all()

    def hold_until_released(self):
        with self.changed:
            seen = self.releases
            self.held += 1
            self.late_waiting += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.releases > seen, HANG_LIMIT_S)
            self.held -= 1

    def late_done(self):
        with self.changed:
            self.late_waiting -= 1
            self.changed.notify_all()

    # ---- used by tests --------------------------------------------------------------------------------------------

    def answer(self, method, path, query, body, secrets_lock):
        fields = json.loads(body) if body else {}
        if (method, path) == ("POST", "/dizzy/faults"):
            with self.lock:
                self.faults.append(Fault(fields))
            return {}
        if (method, path) == ("DELETE", "/dizzy/faults"):
            with self.lock:
                unused = sum(fault.times for fault in self.faults)
                self.faults.clear()
            return {"unused": unused}
        if (method, path) == ("GET", "/dizzy/held"):
            return self.wait_held(int(query.get("at_least", "0")))
        if (method, path) == ("POST", "/dizzy/release"):
            return self.release()
        if (method, path) == ("GET", "/dizzy/calls"):
            return {"calls": self.select_calls(query)}
        if (method, path) == ("GET", "/dizzy/counts"):
            counts = {}
            for call in self.select_calls(query):
                counts[call["operation"]] = counts.get(call["operation"], 0) + 1
            return {"counts": counts}
        if (method, path) == ("DELETE", "/dizzy/calls"):
            with self.lock:
                self.calls.clear()
            return {}
        if (method, path) == ("POST", "/dizzy/switches"):
            with secrets_lock:
                corrections.Switches.drop_unlabelled = bool(fields["drop_unlabelled"])
            return {}
        with secrets_lock:
            return self.answer_about_secret(method, path, query, fields)

    def answer_about_secret(self, method, path, query, fields):
        name = fields.get("secret") or query.get("secret")
        secret = corrections.find(name)
        if secret is None:
            raise ValueError(f"no secret {name}")
        if (method, path) == ("GET", "/dizzy/versions"):
            return {
                "versions": {
                    i: {"labels": list(v["version_stages"]), "has_value": corrections.has_value(v)}
                    for i, v in secret.versions.items()
                }
            }
        if (method, path) == ("POST", "/dizzy/stale"):
            self.stale.mark(secret, int(fields.get("times", 1)))
            return {}
        if (method, path) == ("POST", "/dizzy/owning-service"):
            corrections.own(secret, fields["service"])
            return {}
        if (method, path) == ("POST", "/dizzy/begin-rotation"):
            corrections.begin_rotation(secret, fields["token"])
            return {}
        raise ValueError(f"no hook {method} {path}")

    def wait_held(self, at_least):
        with self.changed:
            self.changed.wait_for(lambda: self.held >= at_least, HANG_LIMIT_S)
            return {"held": self.held}

    def release(self):
        """Lets every late request happen, and returns when all have."""
        with self.changed:
            waiting = self.late_waiting
            self.releases += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.late_waiting == 0, HANG_LIMIT_S)
            return {"released": waiting}

    def select_calls(self, query):
        with self.lock:
            calls = [dict(call) for call in self.calls]
        if "secret" in query:
            calls = [call for call in calls if same_secret(query["secret"], call["secret"])]
        return calls
