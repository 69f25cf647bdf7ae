"""Ratios of two calls' times on a machine that others use too."""

import time


def ratio(ours, theirs, bar, calls, limit_s=30.0):
    """Seconds a call of `ours` over that of `theirs`, each in its fastest stretch.

    The two alternate. Noise only ever adds time, so the minima get better the longer one
    looks: until their ratio is at most `bar`, or for `limit_s`.
    """

    def stretch(f):
        start = time.perf_counter()
        for _ in range(calls):
            f()
        return (time.perf_counter() - start) / calls

    best = [stretch(ours), stretch(theirs)]
    end = time.monotonic() + limit_s
    rounds = 0
    while time.monotonic() < end and (rounds < 100 or best[0] > bar * best[1]):
        best = [min(best[0], stretch(ours)), min(best[1], stretch(theirs))]
        rounds += 1
    return best[0] / best[1]
