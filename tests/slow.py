"""Cases of a test that run with the slow tests: those that repeat, at the same cost, what another case shows.

Long ones show the same on more samples.
"""

import pytest


def slow(*values):
    """The values of one case, for `pytest.mark.parametrize`."""
    return pytest.param(*values, marks=pytest.mark.slow)


def long(*values):
    """The values of one case that runs with the long tests alone, for `pytest.mark.parametrize`."""
    return pytest.param(*values, marks=pytest.mark.long)


def mostly_slow(names, *few):
    """The names as cases, of which all but a few are slow; these are names, or parts that names have.

    Raises AssertionError unless each of the few is found.
    """
    names = list(names)
    assert all(any(part in name for name in names) for part in few), few
    return [name if any(part in name for part in few) else slow(name) for name in names]
