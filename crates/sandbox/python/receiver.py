"""An HTTPS server that takes webhooks, for the tests of notices: it is Python's own, so it judges what is sent.

Arguments: a certificate file, its key file, and the statuses to answer with, in turn and the last one for ever (`hang`: no answer).
Says its port in one line, then each request as one line of JSON: path, headers in lower case, body. Ends with its standard input.
"""

import json
import os
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATUSES = sys.argv[3:]
LOCK = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        request = {"path": self.path, "headers": {k.lower(): v for k, v in self.headers.items()}, "body": body}
        with LOCK:
            status = STATUSES.pop(0) if len(STATUSES) > 1 else STATUSES[0]
            print(json.dumps(request), flush=True)
        if status == "hang":
            threading.Event().wait()
        answer = b"canary-answer"
        self.send_response(int(status))
        self.send_header("Location", "https://elsewhere.test/canary")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def exit_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=exit_with_parent, daemon=True).start()
print(server.server_port, flush=True)
server.serve_forever()
