"""A ProxyCommand: asks for an Upgrade at HOST PORT PATH, and pipes what follows the 101 from and to this program's own."""
import os
import socket
import sys
import threading


def up(sock):
    while data := os.read(0, 65536):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def main(host, port, path):
    sock = socket.create_connection((host, int(port)))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n".encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        if not data:
            sys.exit("the connection ended before the answer's head did")
        head += data
    head, data = head.split(b"\r\n\r\n", 1)
    if head.split(b" ")[1] != b"101":
        sys.exit(f"not upgraded: {head.decode('latin-1')}")
    threading.Thread(target=up, args=(sock,), daemon=True).start()
    while data:
        os.write(1, data)
        data = sock.recv(65536)
    while data := sock.recv(65536):
        os.write(1, data)


if __name__ == "__main__":
    main(*sys.argv[1:])
