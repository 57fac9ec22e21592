#!/usr/bin/env python3
"""A tunnel client in Python: PTTH (HTTP/2 with its roles reversed) over the h2 package and nothing of libtunnel2.

    ptth_client.py --server https://127.0.0.1:12002 --ca ca.pem --token TOKEN [--session NAME]
"""
import argparse
import json
import socket
import ssl
import urllib.parse
import urllib.request

import h2.config
import h2.connection
import h2.events


def register(server, context, token, session=None):
    """Registers a session: the control plane's answer, with a ticket and the entries to dial."""
    body = json.dumps({"session": session} if session else {}).encode()
    request = urllib.request.Request(f"{server}/v1/sessions", body, {
        "Content-Type": "application/json", "Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, context=context) as answer:
        return json.load(answer)


def attach(uplink, context, ticket):
    """Dials an entry and upgrades the connection: the socket, and what came after the 101."""
    url = urllib.parse.urlsplit(uplink)
    sock = context.wrap_socket(socket.create_connection((url.hostname, url.port)), server_hostname=url.hostname)
    sock.sendall(f"GET /.well-known/tunnel2/uplink HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: upgrade\r\n"
                 f"Upgrade: ptth\r\nALPN: h2\r\nAuthorization: Bearer {ticket}\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(4096)
        if not data:
            break
        head += data
    head, _, rest = head.partition(b"\r\n\r\n")
    if b" 101 " not in head.split(b"\r\n")[0]:
        raise ConnectionError(head.decode("latin-1"))
    return sock, rest


def serve(sock, data, handler):
    """Answers requests until the entry closes. handler(headers, content) returns (status, fields, content)."""
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
    http.initiate_connection()
    requests = {}
    while True:
        for event in http.receive_data(data) if data else []:
            if isinstance(event, h2.events.RequestReceived):
                requests[event.stream_id] = (dict(event.headers), bytearray())
            elif isinstance(event, h2.events.DataReceived):
                requests[event.stream_id][1].extend(event.data)
                http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                status, fields, content = handler(*requests.pop(event.stream_id))
                http.send_headers(event.stream_id, [(":status", str(status)), *fields])
                http.send_data(event.stream_id, content, end_stream=True)
        sock.sendall(http.data_to_send())
        data = sock.recv(65536)
        if not data:
            return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--server", required=True)
    parser.add_argument("--ca", required=True)
    parser.add_argument("--token", required=True)
    parser.add_argument("--session")
    options = parser.parse_args()
    context = ssl.create_default_context(cafile=options.ca)
    given = register(options.server, context, options.token, options.session)
    sock, rest = attach(given["entries"][0]["uplink"], context, given["ticket"])
    print(json.dumps({"event": "ready", "session": given["session"], "urls": given["urls"]}), flush=True)

    def hello(headers, content):
        text = f"{headers[':method']} {headers[':path']} by Python: ".encode() + content
        return 200, [("content-type", "text/plain")], text

    serve(sock, rest, hello)


if __name__ == "__main__":
    main()
