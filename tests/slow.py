"""Cases of a test that run with the slow tests: those that repeat, at the same cost, what another case shows.

Long ones show the same on more samples. A case that is both, by two of its values, is long.
"""

import pytest


def slow(*values):
    """The values of one case, for `pytest.mark.parametrize`."""
    return pytest.param(*values, marks=pytest.mark.slow)


def long(*values):
    """The values of one case that runs with the long tests alone, for `pytest.mark.parametrize`."""
    return pytest.param(*values, marks=pytest.mark.long)


def mostly_slow(names, *few):
    """The names as cases, all but a few slow, every third of those, or long; the few are names, or parts of names.

    Raises AssertionError unless each of the few is found.
    """
    names = list(names)
    assert all(any(part in name for name in names) for part in few), few
    rest = [name for name in names if not any(part in name for part in few)]
    return [slow(name) if name in rest[::3] else long(name) if name in rest else name for name in names]
