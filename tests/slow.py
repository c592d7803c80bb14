"""A case of a test that runs with the slow tests."""

import pytest


def slow(*values):
    """The values of one case, for `pytest.mark.parametrize`."""
    return pytest.param(*values, marks=pytest.mark.slow)
