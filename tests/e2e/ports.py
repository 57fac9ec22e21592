"""Free ports in a row, below those that the system gives out."""
import random
import socket


def bind(port, kind):
    sock = socket.socket(socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def free(count, kind=socket.SOCK_STREAM):
    """The first of so many ports in a row that nobody has."""
    for _ in range(200):
        first = random.randrange(20000, 32000)
        held = []
        try:
            for port in range(first, first + count):
                held.append(bind(port, kind))
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
        return first
    raise AssertionError(f"no {count} free ports in a row")
