"""Bytes that everybody can make and check at any offset, so that a gigabyte is compared without being kept.

The period is odd and no power of two divides it: a block that is lost, doubled or moved shows.
"""
import random

PERIOD = (1 << 20) - 3
_PATTERN = random.Random(9112).randbytes(PERIOD)
_TWICE = memoryview(_PATTERN + _PATTERN)
PIECE = 256 * 1024


def piece(offset, size):
    """The bytes [offset, offset + size) of the pattern; size at most PERIOD."""
    start = offset % PERIOD
    return _TWICE[start:start + size]


def pieces(size, most=PIECE):
    """The first size bytes, in pieces."""
    offset = 0
    while offset < size:
        step = min(most, size - offset)
        yield piece(offset, step)
        offset += step


class Checker:
    """Takes bytes in pieces of any size and knows whether they are the pattern so far."""

    def __init__(self):
        self.count = 0
        self.exact = True

    def update(self, data):
        data = memoryview(data)
        while data:
            step = min(len(data), PERIOD)
            if data[:step] != piece(self.count, step):
                self.exact = False
            self.count += step
            data = data[step:]
