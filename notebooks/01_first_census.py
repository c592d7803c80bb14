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
# # A first census
#
# Where does gradient descent end? We let many descents run on one landscape, give every end a label, and look at what
# the labels rest on. The landscape is Safran and Shamir's (2017): a two-layer ReLU network with $n$ neurons learns a
# teacher with $k$ orthonormal neurons from Gaussian inputs,
#
# $$F(W) = \tfrac12\, \mathbb E_x \Bigl(\sum_i [w_i^\top x]_+ - \sum_j [v_j^\top x]_+\Bigr)^2,
# \quad x \sim \mathcal N(0, I).$$
#
# The expectation has a closed form, so there is no data and no sampling noise: a minimum is a minimum.

# %%
import os

import numpy as np

import landscape as ls

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 150 if small else 1000

problem = ls.orthonormal_teacher(8)
problem

# %% [markdown]
# ## The census
#
# One call: 8 teachers, 8 students, plain gradient descent with step 0.1 from Xavier starts, each descent finished to a
# gradient norm of 1e-12 and labelled.

# %%
census = ls.explore(problem, restarts=restarts, seed=0, progress=False)
census

# %% [markdown]
# Most descents find the teacher; about one in eight ends in a *spurious* local minimum, at a loss of 0.0215. The paper
# reports 12.6% [10.7, 14.8] over 1000 runs. How sure are the labels?
#
# * **global**, *certified*: the loss is zero within its own computed rounding error, and the network lies on the exact
#   zero set (same sum of neurons, same mass on every line).
# * **spurious**, *certified*: an inequality, evaluated with its rounding errors, shows that a small ball around the
#   point holds a local minimum, and that its loss is above zero, which a copy of the teacher attains.
# * *orbits* counts points up to the symmetry of the problem: permuting students, permuting coordinates.

# %%
print(census.labels(), census.unseen)

# %% [markdown]
# How often each level was reached, the Hessian's eigenvalues at one point of each, and some of the descents:

# %%
census.plot()

# %% [markdown]
# ## What a spurious minimum looks like
#
# The weights of one member of every orbit are kept.

# %%
for level in census.levels:
    print(level)
    print(np.round(census.network(level).hidden, 2), end="\n\n")

# %% [markdown]
# In the spurious one, seven neurons sit near seven teachers and the last one points *away* from the eighth. Is it
# really a minimum? Its Hessian says so, and the label does not rest on a tolerance:

# %%
spurious = [level for level in census.levels if level.label == "spurious"]
verdict = ls.label(problem, census.network(spurious[0]) if spurious else census.best())
verdict

# %% [markdown]
# ## One neuron more
#
# With nine students for eight teachers the spurious minima turn into saddles, and every descent gets through. The
# global minima now form a continuum, so there is no number of orbits to count.

# %%
wider = ls.explore(ls.orthonormal_teacher(8, width=9), restarts=restarts // 5, seed=0, progress=False)
wider

# %% [markdown]
# ## Another way down
#
# Shares are of the basins of an optimiser. The gradient flow has nearly the same ones, and is several times faster.

# %%
flow = ls.explore(problem, restarts=restarts, seed=0, optimiser="flow", progress=False)
ls.compare(census, flow)

# %% [markdown]
# ## Any teacher
#
# Three teachers at 120 degrees sum to zero. Half of all descents end at $W = -V$, which matches no teacher and is an
# exact global minimum all the same: the loss sees only the sum and the lines.

# %%
angles = 2 * np.pi * np.arange(3) / 3
mercedes = ls.teacher_student(np.stack([np.cos(angles), np.sin(angles)], axis=1))
print(ls.label(mercedes, -mercedes.teacher).label)
ls.explore(mercedes, restarts=restarts // 5, progress=False)
