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
# # From data to "this network is a certified global minimum"
#
# A two-layer ReLU network $f(x) = \sum_j a_j \max(0, w_j \cdot x)$ is trained on $n$ data points with weight decay:
#
# $$L = \tfrac12 |f - y|^2 + \tfrac\beta2 \sum_j (|w_j|^2 + a_j^2).$$
#
# That is not convex. But each neuron splits the data in one of finitely many ways, and with one block of weights for
# each way the same loss becomes a convex program (Wang, Lacotte and Pilanci 2022). Its optimum $p^*$ is the least loss
# of *all* widths, and its dual is a number below which no network gets.

# %%
import os

import jax
import numpy as np

import landscape as ls
from landscape.figures.minima import minima
from landscape.figures.widths import by_width
from landscape.studies import STUDIES
from landscape.theory.convex import optimal_set, path
from landscape.theory.convex.least_loss import certified_optimum

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 30 if small else 200

study = STUDIES["hidden-convex"](data="eight-points", width=4, restarts=restarts)
problem = study.problem()
x, y = problem.x, problem.y
print(f"{len(y)} data points in {x.shape[1]} dimensions; {problem.normalisation}")

# %% [markdown]
# ## Train
#
# Many descents from random starts. Each end has a label and the evidence for it.

# %%
census = study.run(None, False)
print(census)

# %% [markdown]
# Few descents end at a global minimum: four neurons are the fewest that can reach $p^*$ at all. Many end at saddles
# where a neuron has died: its weights have decayed to zero, and no first-order method brings it back.
#
# Small problems can be enumerated: these are *all* local minima of width four, and those that the descents missed.

# %%
minima([(4, census.findings["minima"])])

# %% [markdown]
# ## Judge one network
#
# Take the network that one of these descents ended at. Is it a global minimum?

# %%
spurious = next(i for i in census.weights if census.rows["label"][census.rows["restart"] == i][0] == "spurious")
network = problem.read(census.weights[spurious])
verdict = ls.label(problem, network)
print(f"{verdict.label} ({verdict.flavour}), {verdict.evidence} by {verdict.by}")
print(f"loss {verdict.loss:.9f}, lower bound {verdict.lower_bound:.9f}, excess {verdict.excess:.2g}")

# %% [markdown]
# It is not, and `improve` has a better one: the best of all widths, with the gap between its loss and the dual bound.

# %%
better = ls.improve(problem, network)
optimum = better.optimum.params
print(
    f"{len(optimum.outer)} neurons, loss {better.optimum.loss:.12f}, at most {better.gap:.1e} above the best there is"
)
print(np.column_stack([optimum.hidden, optimum.outer]))
print("its label:", ls.label(problem, optimum).label)

# %% [markdown]
# The automatic gradient would not have told: neurons of the optimum stand on ties $x_k \cdot w_j = 0$, where it takes
# one of two sides. What counts is the shortest vector of the subdifferential.

# %%
ties = np.abs(x @ optimum.hidden.T) < 1e-9
with jax.enable_x64(True):
    gradient = jax.grad(problem.loss)(problem.write(optimum))
print(
    f"{ties.sum()} ties, of {np.sum(ties.any(axis=0))} neurons; automatic gradient: norm {np.linalg.norm(gradient):.4f}"
)
print(f"least subgradient: norm {ls.label(problem, optimum).grad_norm:.1e}")

# %% [markdown]
# ## All optimal networks
#
# The optimum is often not the only one. All optimal networks, of every width, are a polytope in the weights
# $|w_j||a_j|$ of finitely many directions: here a single point, so that it is unique up to permuting and splitting.

# %%
best = certified_optimum(problem)
optima = optimal_set.optimal_set(problem.data, best)
print(f"{len(optima.directions)} directions, dimension {optima.dimension}: m* = {optima.m_star}, M* = {optima.M_star}")
for step in optimal_set.staircase(optima.m_star, optima.M_star, len(y)):
    print(f"from width {step.least}: {step.statement}")

# %% [markdown]
# ## Wider is easier
#
# With more neurons more descents find the optimum. From $n + 1$ neurons on there is, from every network, a path to a
# global minimum along which the loss never rises. Descent does not always take it.

# %%
widths = (2, 4, 9) if small else (1, 2, 3, 4, 6, 9, 12, 16, 20)
table = STUDIES["hidden-convex"](restarts=restarts, widths=widths, listed=0).run(None, False)
by_width(table.cell_dicts())

# %%
wide = study.of_width(len(y) + 1)
start = wide.read(ls.start_points(wide, 0, np.arange(1))[0])
way = path.descending_path(problem.data, start.hidden, start.outer, best)
checked = path.verify(problem.data, way)
print(f"{len(way.loss)} way-points from loss {way.loss[0]:.6f} to {way.loss[-1]:.12f}")
print(f"largest rise on the way: {checked.increase:.1e}")

# %% [markdown]
# ## Flowers
#
# Thirty of Fisher's irises, two species, two measurements, logistic loss, biases with weight decay like all weights.

# %%
iris = STUDIES["hidden-convex"](data="iris", width=4, restarts=restarts).run(None, False)
print(iris)

# %% [markdown]
# Two neurons are enough to be optimal among all widths, and that is certified by a number.
