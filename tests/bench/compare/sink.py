"""The origin of uploads: takes content of any length as fast as it comes, and answers with 200.

Prints its port. HTTP/1.1 with Content-Length alone; a thread for each connection, which spends its time in recv.
"""
import re
import socket
import threading

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
ANSWER = b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def read_head(conn, rest):
    while b"\r\n\r\n" not in rest:
        piece = conn.recv(65536)
        if not piece or len(rest) > 65536:
            return None, b""
        rest += piece
    return rest.split(b"\r\n\r\n", 1)


def serve(conn):
    room = memoryview(bytearray(1 << 18))
    rest = b""
    with conn:
        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            head, rest = read_head(conn, rest)
            if head is None:
                return
            found = LENGTH.search(head)
            left = (int(found[1]) if found else 0) - len(rest)
            rest = b"" if left >= 0 else rest[left:]
            while left > 0:
                n = conn.recv_into(room, min(left, len(room)))
                if n == 0:
                    return
                left -= n
            conn.sendall(ANSWER % (b"411 Length Required" if b"chunked" in head.lower() else b"200 OK"))


def quietly(conn):
    try:
        serve(conn)
    except OSError:
        pass


def main():
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            threading.Thread(target=quietly, args=(server.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
