"""Shares with their intervals, and the probability of what was not seen."""

from __future__ import annotations

import math

from landscape.records import whole


def wilson(count: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The 95% score interval of a binomial share (Wilson 1927); (0, 1) when nothing was counted.

    Args:
        count: How many of the trials succeeded.
        total: Number of trials.
        z: Of the normal distribution, at the confidence wanted.

    Raises:
        InputError: They are no counts, or there are more successes than trials.
    """
    total = whole("total", total, 0)
    count = whole("count", count, 0, most=total)
    if total == 0:
        return 0.0, 1.0
    share, z2 = count / total, z * z
    centre = share + z2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    return (0.0 if count == 0 else low), (1.0 if count == total else high)


def unseen_mass(counts: list[int]) -> tuple[float, float]:
    """The probability that the next restart ends in a class never seen, and its 95% upper limit.

    Estimate: the share of classes seen once (Good 1953, after Turing). Upper limit: Esty's (1983) normal one, and never
    below 3/N, which is what N restarts without a surprise allow.

    Args:
        counts: How often each class was seen.
    """
    total = sum(counts)
    if total == 0:
        return 1.0, 1.0
    once, twice = counts.count(1), counts.count(2)
    estimate = once / total
    esty = estimate + 1.645 * math.sqrt(once * (1 - estimate) + 2 * twice) / total
    return estimate, min(1.0, max(esty, 3 / total))


def share(count: int, total: int) -> dict[str, float]:
    """A share with its 95% Wilson interval, as in `--json`."""
    low, high = wilson(count, total)
    return {"share": count / total if total else 0.0, "low": low, "high": high}
