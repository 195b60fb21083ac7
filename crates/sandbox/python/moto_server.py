"""moto's server for the sandbox, with the corrections of corrections.py and the test hooks of hooks.py.

Arguments: a port (0: a free one), and optionally a certificate file and its key file for a second, TLS port. Listens on
loopback only and says so in one line: `listening on PORT [TLS PORT]`. Ends when its standard input is closed, so that it dies with whoever started it, however that died.
"""

import io
import json
import logging
import os
import socket
import sys
import threading
from urllib.parse import parse_qsl

import corrections
import iam
import objects
from hooks import Call, Hooks
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

READS = frozenset(["GetSecretValue", "DescribeSecret", "ListSecretVersionIds", "BatchGetSecretValue"])


class Dropped(Exception):
    """The connection is to be closed without an answer."""


class Handler(MotoRequestHandler):
    """Answers whole requests and keeps the connection open, as AWS does; werkzeug's own loop closes after each.

    A client has to cope with what open connections bring: a dropped one may have been used before.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self):
        if self.headers.get("Expect", "").lower().strip() == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        environ = self.make_environ()
        source = environ["wsgi.input"]
        chunked = environ.get("wsgi.input_terminated", False)
        body = source.read() if chunked else source.read(int(environ.get("CONTENT_LENGTH") or 0))
        try:
            data, status, headers = self.server.app.answer(environ, body)
        except Dropped:
            self.drop()
            return
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for key, value in headers:
            if key.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(key, value)
        if int(code) not in (204, 304):
            # For HEAD the length is that of the body which is not sent; moto says it in the header.
            length = dict((k.lower(), v) for k, v in headers).get("content-length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def drop(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log_request(self, code="-", size="-"):
        pass


class Application:
    """Between the socket and moto: log the call, take a fault, hold the lock, serve."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.hooks = Hooks()
        self.secrets_lock = threading.RLock()
        self.objects_lock = threading.Lock()
        self.guard = iam.Guard()

    def answer(self, environ, body):
        if environ["PATH_INFO"].startswith("/dizzy/"):
            return self.hook(environ, body)
        call = Call(environ, body)
        fault, entry = self.hooks.begin(call)
        try:
            unless_found = self.guard.check(environ, body, call)
        except iam.Denied as denied:
            return self.refuse(denied, call, entry)
        kind = fault.fault if fault else None
        client = environ["werkzeug.socket"]
        if kind in ("refuse", "throttle"):
            entry["status"] = fault.status
            if call.service == "s3":
                return respond_s3(fault.status, fault.code)
            refusal = {"__type": fault.code, "message": "refused by the sandbox"}
            return respond(f"{fault.status} REFUSED", refusal, [("x-amzn-errortype", fault.code)])
        if kind == "drop-before":
            raise Dropped
        if kind == "hang":
            self.hooks.hold_until_client_leaves(client)
            raise Dropped
        if kind == "late":
            self.hooks.hold_until_released()
        try:
            data, status, headers = self.serve(environ, body, call)
        finally:
            if kind == "late":
                self.hooks.late_done()
        if unless_found is not None and (denied := unless_found(status)):
            return self.refuse(denied, call, entry)
        entry["status"] = int(status.split()[0])
        if kind == "hang-after":
            self.hooks.hold_until_client_leaves(client)
        if kind in ("drop-after", "hang-after", "late"):
            raise Dropped
        return data, status, headers

    def refuse(self, denied, call, entry):
        if call.service == "s3":
            entry["status"] = 403
            return respond_s3(403, "AccessDenied")
        entry["status"] = 400
        answer = {"__type": "AccessDeniedException", "Message": iam.sentence(denied)}
        return respond("400 BAD REQUEST", answer, [("x-amzn-errortype", "AccessDeniedException")])

    def serve(self, environ, body, call):
        if call.service == "s3":
            with self.objects_lock:
                code = objects.refusal(environ, body)
                return respond_s3(400, code) if code else self.run(environ, body)
        if call.service != "secretsmanager":
            return self.run(environ, body)
        with self.secrets_lock:
            secret = corrections.find(call.secret) if call.secret else None
            present = None
            if secret is not None and call.operation in corrections.WRITES:
                self.hooks.stale.remember(secret)
            if secret is not None and call.operation in READS:
                earlier = self.hooks.stale.take(secret)
                if earlier is not None:
                    present, secret.versions = secret.versions, earlier
            try:
                data, status, headers = self.run(environ, body)
            finally:
                if present is not None:
                    secret.versions = present
            if secret is not None:
                corrections.settle(secret)
        # The API reference gives 400 for every client error of this service; moto says 404 for what it cannot find.
        return data, status.replace("404 NOT FOUND", "400 BAD REQUEST"), headers

    def run(self, environ, body):
        environ = environ | {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        parts, status, headers = run_wsgi_app(self.moto, environ, buffered=True)
        return b"".join(parts), status, list(headers)

    def hook(self, environ, body):
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")))
        if environ["PATH_INFO"] == "/dizzy/policy":
            return self.policy(environ["REQUEST_METHOD"], body)
        try:
            answer = self.hooks.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], query, body, self.secrets_lock)
            return respond("200 OK", answer)
        except (KeyError, TypeError, ValueError) as error:
            return respond("400 BAD REQUEST", {"error": str(error)})


    def policy(self, method, body):
        """Sets the policy of an access key, and tells what was asked and denied since."""
        if method == "GET":
            return respond("200 OK", {"denied": self.guard.denied, "asked": self.guard.asked})
        try:
            fields = json.loads(body)
            self.guard.set(fields["key"], fields["policy"])
        except (KeyError, TypeError, ValueError) as error:
            return respond("400 BAD REQUEST", {"error": f"{type(error).__name__}: {error}"})
        return respond("200 OK", {})


def respond(status, answer, headers=()):
    return json.dumps(answer).encode(), status, [("Content-Type", "application/x-amz-json-1.1"), *headers]


def respond_s3(status, code):
    return objects.error(code), f"{status} REFUSED", [("Content-Type", "application/xml")]


def exit_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def main():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    corrections.install()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    application = Application()
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler)
    ports = [server.port]
    if len(sys.argv) > 3:
        files = (sys.argv[2], sys.argv[3])
        tls = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler, ssl_context=files)
        threading.Thread(target=tls.serve_forever, daemon=True).start()
        ports.append(tls.port)
    threading.Thread(target=exit_with_parent, daemon=True).start()
    print("listening on", *ports, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
