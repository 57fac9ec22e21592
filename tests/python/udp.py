"""A UDP origin."""
import contextlib
import socket
import threading


@contextlib.contextmanager
def echo():
    """Gives "127.0.0.1:PORT", where each datagram comes back."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))

    def run():
        with contextlib.suppress(OSError):
            while True:
                data, who = sock.recvfrom(65536)
                if data == b"stop":
                    return
                sock.sendto(data, who)
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{sock.getsockname()[1]}"
    finally:
        sock.sendto(b"stop", sock.getsockname())
        thread.join(5)
        sock.close()
