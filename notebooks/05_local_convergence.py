# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How descents reach a global minimum
#
# Zhou, Ge and Jin (2021) study students $\sum_i |w_i|\,|w_i \cdot x|$ of a teacher $\sum_j |v_j \cdot x|$, Gaussian
# inputs, and any width. Below some loss, $\|\nabla L\| \ge \kappa L$, so that every student reaches a teacher. Here we
# look along descents: which power of the loss is the gradient, and which power of time is the loss?

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

import landscape as ls
from landscape import fits
from landscape.studies.convergence import looks
from landscape.theory.local_convergence.matching import matching
from landscape.theory.local_convergence.regimes import verdict

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 16 if small else 128

# %% [markdown]
# ## Looks along descents
#
# `ls.trace` is `ls.explore` with looks along the way, in the same lanes. A small tolerance makes the flow accurate, and
# a small `retire` follows it far down.


# %%
def follow(width):
    problem = ls.tied_student(np.eye(2, 4), width)
    return ls.trace(
        problem, restarts, seed=0, looks=looks(12_000), observables=matching(problem),
        optimiser="flow", tolerance=1e-6, retire=1e-8, budget=12_000, progress=False,
    )  # fmt: skip


seen = {width: follow(width) for width in (2, 4)}
for width, one in seen.items():
    power = fits.exponent(one.loss, one.grad_norm, one.floor)
    rate = fits.rate(one.time, one.loss, one.floor)
    print(f"width {width}: exponent {power.slope:.3f} [{power.low:.3f}, {power.high:.3f}]; in time: {rate.name}")
    print("  ", verdict(power, rate, one.loss, one.grad_norm).words)

# %% [markdown]
# With as many students as teachers the minimum is nondegenerate. With more, students share a teacher, and the loss is
# cubic in their angles: $\|\nabla L\| \sim L^{2/3}$ and $L \sim t^{-3}$.

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for width, one in seen.items():
    axes[0].loglog(one.time[:8].T, one.loss[:8].T, color=f"C{width // 2}", linewidth=0.8)
axes[0].set(xlabel="time of the flow", ylabel="loss", ylim=(1e-13, 10))
wide = seen[4]
axes[1].loglog(wide.loss[:8].T, wide.observed["angle"][:8].T, color="C2", linewidth=0.8)
axes[1].set(xlabel="loss", ylabel="angle of students to their teachers")
axes[1].invert_xaxis()

# %% [markdown]
# ## Zero loss without matched directions
#
# For ReLU the theorem's conclusion is false: three teachers at 120 degrees sum to zero, and their negatives are an
# exact global minimum that matches none of them. Labels know that: they go by the exact zero set.

# %%
turn = 2 * np.pi * np.arange(3) / 3
cancelling = ls.teacher_student(np.stack([np.cos(turn), np.sin(turn)], axis=1))
there = ls.label(cancelling, -cancelling.teacher)
print(f"{there.label}, {there.evidence} by {there.by}; loss {there.loss:.1e}")
