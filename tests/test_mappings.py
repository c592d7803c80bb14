"""A session of many losses does not end by the mappings of memory that their compiled programs take."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

import landscape as ls
from landscape import mappings
from landscape.host.explore import explore

pytestmark = pytest.mark.skipif(not mappings.MAPPINGS.exists(), reason="Linux alone counts them")


def bowl() -> object:
    return ls.from_loss(lambda x: jnp.sum((x - 1.0) ** 2), lambda key: jax.random.normal(key, (2,)), 0.0)


@pytest.mark.parametrize("call", ["from_loss", "explore"])
@pytest.mark.parametrize("share", [1.0, 0.0])
def test_programs_are_let_go_where_they_are_many_and_come_again(monkeypatch, call, share):
    first = bowl()
    program = jax.jit(lambda x: x + 1.0)
    program(1.0)
    monkeypatch.setattr(mappings, "SHARE", share)  # one session's worth of tests stays far below the limit
    other = bowl() if call == "from_loss" else explore(first, 2, progress=False)
    assert program._cache_size() == (1 if share else 0)
    if call == "from_loss":
        assert [ls.label(one, jnp.ones(2)).label for one in (first, other)] == ["global", "global"]
    else:
        assert other.labels()["global"] == 2
