"""The thread that the library's loop runs on: one for the process, from the first tunnel to the last.

What ends up here from a garbage collection (Runtime.post) takes no lock, for the thread that it interrupts may hold it.
"""
from __future__ import annotations

import atexit
import logging
import os
import threading
from collections import deque
from ctypes import addressof, byref, c_void_p
from typing import Any, Callable

from . import errors
from ._abi import RuntimeOptions, UserCallback, initialised, lib, quick

log = logging.getLogger("tunnel2")

STOP_MS = 5000


class Runtime:
    """A loop and its thread. Objects of the library are made, used and closed on that thread."""

    def __init__(self) -> None:
        handle = c_void_p()
        options = initialised(RuntimeOptions, quick.t2_runtime_options_init)
        options.own_thread = True
        errors.check(lib.t2_runtime_new(byref(handle), addressof(options)))
        self.handle = handle.value
        self.loop = lib.t2_runtime_loop(handle)
        self.open: set[Any] = set()  # what has to be closed before the loop can end; the loop's thread's
        self.forked = False  # in a child: the thread is the parent's
        self._calls: deque[Callable[[], object]] = deque()
        self._posted = False
        self._over = False
        self._drain_c = UserCallback(self._drain)
        self._thread = threading.Thread(target=lib.t2_runtime_run, args=(self.handle,), name="tunnel2", daemon=True)
        _all.add(self)
        self._thread.start()

    def is_current(self) -> bool:
        """Is the caller on the loop's thread?"""
        return threading.get_ident() == self._thread.ident

    def post(self, call: Callable[[], object]) -> bool:
        """Has call() called on the loop's thread, soon and in order. False: the loop has ended. Any thread."""
        if self._over or self.forked:
            return False
        self._calls.append(call)
        if not self._posted:
            self._posted = True
            if quick.t2_runtime_post(self.handle, self._drain_c, None) < 0:
                self._posted = False
                return False
        return True

    def _drain(self, _user: object) -> None:
        self._posted = False  # first: who appends from now on posts again
        calls = self._calls
        while calls:
            try:
                calls.popleft()()
            except Exception:
                log.exception("a call on the loop's thread failed")

    def call(self, function: Callable[[], Any]) -> Any:
        """The same, and waits for what it returns or raises. Any thread."""
        if self.is_current():
            return function()
        done = threading.Event()
        result: list[Any] = []

        def run() -> None:
            try:
                result.extend((function(), None))
            except BaseException as error:
                result.extend((None, error))
            done.set()

        if not self.post(run):
            raise errors.StateError(errors.STATE, self.gone())
        done.wait()
        if result[1] is not None:
            raise result[1]
        return result[0]

    def gone(self) -> str:
        """Why nothing can be asked of it any more."""
        return "it was opened by the process that forked" if self.forked else "it has ended"

    def stop(self) -> None:
        """Closes what is open, and ends the thread. Any thread but its own."""
        def close_all() -> None:
            for thing in list(self.open):
                thing.close_on_loop()

        self.post(close_all)
        self._over = True
        if lib.t2_runtime_stop(self.handle, STOP_MS) < 0:
            return  # it goes on, and may still call back: it stays in _all
        self._thread.join()
        lib.t2_runtime_free(self.handle)
        _all.discard(self)


_lock = threading.Lock()
_current: Runtime | None = None
_users = 0
_all: set[Runtime] = set()  # whose memory is in use


def acquire() -> Runtime:
    """The process's runtime, for one more user."""
    global _current, _users
    with _lock:
        if _current is None:
            _current = Runtime()
        _users += 1
        return _current


def release(runtime: Runtime) -> None:
    """One user less. The last one ends the thread, unless it is on that thread: then it is left idle."""
    global _current, _users
    if runtime.forked:
        return
    with _lock:
        _users -= 1
        last = _users == 0 and runtime is _current and not runtime.is_current()
        if last:
            _current = None
    if last:
        runtime.stop()


def _at_exit() -> None:
    global _current
    with _lock:
        runtime, _current = _current, None
    if runtime is not None:
        runtime.stop()


def _after_fork() -> None:
    """In the child: what the parent has open is the parent's, down to the memory of the library's objects."""
    global _current, _users, _lock
    for runtime in _all:  # they stay in there: nothing of them is freed
        runtime.forked = True
    _lock = threading.Lock()
    _current, _users = None, 0


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
