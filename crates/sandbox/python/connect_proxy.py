"""An HTTP proxy for the tests of proxies: it judges every CONNECT and says so, and plays the hosts that it was told to play.

Arguments: a certificate file and its key file for the hosts that it plays; the user and password that it wants (USER:PASSWORD, or empty); an
HTTP status with which it refuses every tunnel (or empty); then HOST=PORT for each host that it plays, where PORT speaks plain HTTP on
loopback. Other hosts are connected to as they are, on loopback only.

Says its port in one line, then each request as one line of JSON: method, target, how it was answered. Ends with its standard input.
"""

import base64
import json
import os
import socket
import ssl
import sys
import threading

CERTIFICATE, KEY, CREDENTIALS, REFUSE = sys.argv[1:5]
PLAYED = dict(entry.rsplit("=", 1) for entry in sys.argv[5:])
LOCK = threading.Lock()
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
CONTEXT.load_cert_chain(CERTIFICATE, KEY)


def pump(source, sink):
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def head(client):
    data = b""
    while b"\r\n\r\n" not in data:
        part = client.recv(1)
        if not part or len(data) > 8192:
            return None
        data += part
    lines = data.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return lines[0].split(" "), {name.lower(): value for name, value in headers.items()}


def answer(method, target, headers):
    if method != "CONNECT":
        return 405
    wanted = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()
    if CREDENTIALS and headers.get("proxy-authorization") != wanted:
        return 407
    if REFUSE:
        return int(REFUSE)
    host = target.rsplit(":", 1)[0]
    return 200 if host in PLAYED or host in ("localhost", "127.0.0.1") else 502


def serve(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = head(client)
    if request is None:
        return client.close()
    (method, target, _), headers = request
    status = answer(method, target, headers)
    with LOCK:
        print(json.dumps({"method": method, "target": target, "status": status}), flush=True)
    client.sendall(f"HTTP/1.1 {status} canary\r\n\r\n".encode())
    if status != 200:
        return client.close()
    host, port = target.rsplit(":", 1)
    try:
        if host in PLAYED:
            client = CONTEXT.wrap_socket(client, server_side=True)
            server = socket.create_connection(("127.0.0.1", int(PLAYED[host])))
        else:
            server = socket.create_connection(("127.0.0.1", int(port)))
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        return client.close()
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    pump(server, client)


def exit_with_parent():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


listener = socket.create_server(("127.0.0.1", 0), backlog=128)
threading.Thread(target=exit_with_parent, daemon=True).start()
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
