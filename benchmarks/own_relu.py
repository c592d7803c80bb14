"""A ReLU network as anyone's own loss, beside the same network in the room of finite data: do labels contradict?

    python benchmarks/own_relu.py [--widths 1 2 3 4] [--restarts 500] [--seed 0] [--out FILE]

Data are the built-in eight points in the plane, weight decay 0.1. The own loss is stated as a user states it, with the
least loss of the width as its lower bound, and its restarts end by the finish for kinked own losses. Every end is then
judged by the room of finite data, which knows kinks exactly, at the stationary point within 1e-6. A label is
contradicted where both are sure of different kinds, or one says strict and the other flat. `open` counts restarts whose
own label is undecided or unconverged.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

OPEN = ("undecided", "unconverged")
MINIMA = ("global", "spurious")
BESIDE = 1e-6  # an end this far from a stationary point is taken for it
DOWN = ("saddle", "trap")  # a ReLU's dead neuron is a saddle for one room and a trap for the other: both lead down


def own_loss(x: np.ndarray, y: np.ndarray, weight_decay: float, width: int, lower_bound: float | None) -> Any:
    """The landscape of a ReLU network as a user states it."""
    import jax
    import jax.numpy as jnp

    import landscape as ls

    def loss(params: dict[str, Any]) -> Any:
        hidden, outer = params["hidden"], params["outer"]
        misfit = jnp.maximum(x @ hidden.T, 0.0) @ outer - y
        return 0.5 * jnp.sum(misfit**2) + 0.5 * weight_decay * (jnp.sum(hidden**2) + jnp.sum(outer**2))

    def init(key: Any) -> dict[str, Any]:
        first, second = jax.random.split(key)
        return {"hidden": jax.random.normal(first, (width, x.shape[1])), "outer": jax.random.normal(second, (width,))}

    return ls.from_loss(loss, init, lower_bound=lower_bound)


def compared(width: int, restarts: int, seed: int) -> dict[str, Any]:
    """A census of the own loss, and what the room of finite data says of each of its ends."""
    from landscape import classify
    from landscape.census.assemble import settled
    from landscape.engine.driver import Driver
    from landscape.engine.settings import Settings
    from landscape.host.label import label_one
    from landscape.precision import float64
    from landscape.studies.data_sets import HiddenConvex
    from landscape.theory.convex.least_loss import best_of_width

    exact = classify.bounded(HiddenConvex(width=width).problem())
    best = best_of_width(exact)
    assert best is not None
    own = own_loss(np.asarray(exact.x), np.asarray(exact.y), float(exact.weight_decay), width, best.value)
    begun = time.perf_counter()
    with float64():
        batches = list(Driver(own, Settings.of(own), seed).run(np.arange(restarts)))
    seconds = time.perf_counter() - begun
    order = np.argsort(np.concatenate([columns["restart"] for columns, _ in batches]))
    thetas = np.concatenate([thetas for _, thetas in batches])[order]
    rows = settled({name: np.concatenate([columns[name] for columns, _ in batches])[order] for name in batches[0][0]})
    pairs: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    contradicted = []
    for i, theta in enumerate(thetas):
        verdict = label_one(exact, theta)
        if verdict.polished is not None and (verdict.moved or 0.0) <= BESIDE:
            verdict = verdict.polished
        room, said, reason = str(verdict.label), str(rows["label"][i]), rows["reason"][i]
        flavours = str(rows["flavour"][i]), str(verdict.flavour)
        pairs[f"{said} / {room}"] += 1
        if said in OPEN:
            reasons[f"{said}: {reason}"] += 1
        differ = said not in OPEN and room not in OPEN and said != room and not (said in DOWN and room in DOWN)
        if differ or set(flavours) == {"strict", "flat"}:
            both = {"own": [said, flavours[0]], "finite data": [room, flavours[1]]}
            contradicted.append({"restart": int(rows["restart"][i]), **both})
    left = sum(reasons.values())
    return {
        "lower_bound": best.value,
        "open": left,
        "open_share": left / restarts,
        "own / finite data": dict(pairs.most_common()),
        "contradicted": contradicted,
        "reasons": dict(reasons.most_common(12)),
        "seconds": seconds,
    }


def main() -> None:
    """Compares, and writes one JSON file; widths that it has already from the same restarts are kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--restarts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results; one that is there goes on")
    asked = parser.parse_args()
    from new_file import new_file

    out = asked.out or new_file("own-relu.json")
    of = {"restarts": asked.restarts, "seed": asked.seed}
    before = json.loads(out.read_text()) if out.exists() else {}
    widths = {int(key): one for key, one in before.get("widths", {}).items()} if before.items() >= of.items() else {}
    for width in asked.widths:
        widths[width] = compared(width, asked.restarts, asked.seed)
        print(json.dumps(widths[width], indent=1), flush=True)
        whole = {**of, "widths": {str(key): widths[key] for key in sorted(widths)}}
        out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
