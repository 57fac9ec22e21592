"""A steady light load on a public address: what failed, and when."""
import threading
import time

from wire import Client, Closed


class Load:
    """Some threads, each with a kept connection, asking for a path again and again until the with block ends."""

    def __init__(self, address, path, threads=4, pause=0.02):
        self.address, self.path, self.pause = address, path, pause
        self.done = 0
        self.failures = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self):
        client = None
        while not self._stopping.is_set():
            try:
                client = client or Client(self.address, timeout=10)
                response = client.ask("GET", self.path)
                problem = None if response.status == 200 and response.whole else f"{response}"
            except (OSError, Closed, ValueError) as error:
                problem = repr(error)
                client = None
            with self._lock:
                self.done += 1
                if problem:
                    self.failures.append((time.monotonic(), problem))
            time.sleep(self.pause)
        if client:
            client.close()
