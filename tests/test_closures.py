"""A session in 32-bit mode, as JAX begins, goes on as it was before and after the package looks at the user's loss."""

from __future__ import annotations

import json
import os
import subprocess
import sys

SESSION = """
import json
import jax, jax.numpy as jnp, numpy as np, optax
x = np.random.default_rng(0).normal(size=(6, 2))
y = x @ np.array([1.0, 1 / 3])
asked = []

def ask(when):  # whether the loss still answers, compiled or not, and to a step of the user's own training
    point = np.array([1.0, 0.0])
    values = compiled(point), plain(point), plain(jnp.asarray(point)), later(point)
    slope = jax.jit(jax.grad(plain))(point)
    step = optax.sgd(0.1).update(slope, optax.sgd(0.1).init(point))[0]
    agree = bool(np.ptp([float(value) for value in values]) < 1e-5)
    asked.append([when, [str(value.dtype) for value in (*values, step)], agree])

def plain(p):
    return jnp.sum((x @ p - y) ** 2)
compiled = jax.jit(plain)
later = lambda p: jnp.where(y > 0, x @ p - y, 0.0).sum() * 0 + plain(p)

before = %s
if before:
    ask("before")
import landscape as ls
problem = ls.from_loss(compiled, lambda key: jax.random.normal(key, (2,)), lower_bound=0.0)
at = [ls.label(problem, point) for point in (np.array([1.0, 1 / 3]), np.array([1.0, 0.5]))]
census = ls.explore(problem, 8, progress=False)
ask("after")
print(json.dumps({
    "labels": [str(one.label) for one in at], "loss": at[0].loss, "census": sorted(set(census.rows["label"])),
    "asked": asked, "x64": bool(jax.config.jax_enable_x64),
}))
"""


def session(before: bool) -> dict:
    code = SESSION % before
    setting = {"JAX_ENABLE_X64": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=300, text=True, env=os.environ | setting
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_loss_over_numpy_data_is_labelled_in_float64_and_still_answers_in_float32():
    unused, used = session(False), session(True)
    for said in (unused, used):
        assert said["labels"] == ["global", "unconverged"]
        # Data rounded to float32 would leave 1e-15 and more of the loss.
        assert said["loss"] < 1e-28
        assert said["census"] == ["global"]
        assert not said["x64"]
        for _, dtypes, agree in said["asked"]:
            assert dtypes == ["float32"] * 5
            assert agree
    assert [when for when, *_ in used["asked"]] == ["before", "after"]
