"""Time of a label of an own loss by the kind of its point, after compilation, on a machine that does nothing else.

Processor time is not asked: threads of NumPy's linear algebra spin while they wait, and double it.

python benchmarks/label_cost.py [--parameters 50 500] [--rounds 9]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def kinds(p: int) -> dict[str, tuple[Callable[[Any], Any], np.ndarray]]:
    """A loss and a point of each kind, p parameters."""
    places, half = np.arange(p), np.arange(p) < p // 2
    return {
        "minimum": (lambda x: jnp.sum((1 + places / p) * (x - 1) ** 2), np.ones(p)),
        "saddle": (lambda x: jnp.sum(jnp.where(places < 3, -1.0, 1.0) * x**2) + jnp.sum(x**4), np.zeros(p)),
        "flat set": (lambda x: jnp.sum((x[: p // 2] * x[p // 2 :] - 1) ** 2), np.ones(p)),
        "kinks": (lambda x: jnp.sum(jnp.abs(x)) + jnp.sum((x - 0.3) ** 2), np.zeros(p)),
        "half kinks": (
            lambda x: jnp.sum(jnp.abs(x)) + jnp.sum((x - jnp.where(half, 0.3, 1.5)) ** 2),
            np.where(half, 0.0, 1.0),
        ),
        "not stationary": (lambda x: jnp.sum((x - 1) ** 2) + 0.1 * jnp.sum(jnp.sin(x)), np.zeros(p)),
    }


def main() -> None:
    """Prints a line a size and kind: the label and the least time of some rounds."""
    from landscape.problems.from_loss import from_loss
    from landscape.records import Point, Status
    from landscape.theory.own_loss.judge import judge

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=int, nargs="+", default=[50, 500])
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    for p in asked.parameters:
        for name, (loss, theta) in kinds(p).items():
            # Times one, so that no program shows a bound or that it is convex: the loss itself has to be looked at.
            hidden = lambda x, loss=loss: loss(x) * jnp.cos(0.0 * x[0])  # noqa: E731
            problem = from_loss(hidden, lambda key, p=p: jax.random.normal(key, (p,)))
            point = Point(theta, np.nan, np.nan, np.nan, 0.0, Status.CONVERGED)
            claim, times = judge(problem, point), []
            for _ in range(asked.rounds):
                begun = time.perf_counter()
                claim = judge(problem, point)
                times.append(time.perf_counter() - begun)
            print(f"p = {p}, {name}: {claim.label} ({claim.flavour}), {1e3 * min(times):.0f} ms", flush=True)


if __name__ == "__main__":
    main()
