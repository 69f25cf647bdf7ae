"""Ratios of two calls' times on a machine that others use too."""

import time


def ratio(ours, theirs, bar, calls, rounds=100, limit_s=15.0):
    """Seconds a call of `ours` over that of `theirs`, each in its fastest stretch.

    The two alternate for a fixed number of rounds; noise only adds time, so minima are compared. A
    ratio above `bar` is measured once more from the start, as a machine may be busy for a second.
    """
    found = _once(ours, theirs, calls, rounds, limit_s)
    return found if found <= bar else _once(ours, theirs, calls, 3 * rounds, limit_s)


def _once(ours, theirs, calls, rounds, limit_s):
    def stretch(f):
        start = time.perf_counter()
        for _ in range(calls):
            f()
        return (time.perf_counter() - start) / calls

    end = time.monotonic() + limit_s
    times = [(stretch(ours), stretch(theirs)) for _ in range(5)]
    while len(times) < rounds and time.monotonic() < end:
        times.append((stretch(ours), stretch(theirs)))
    a, b = (min(column) for column in zip(*times, strict=True))
    return a / b
