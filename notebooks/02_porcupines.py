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
# # Neurons on lines
#
# Feizi, Javadi, Zhang and Tse (2017) bind each neuron of a two-layer ReLU network to a line through the origin:
# $w_i = c_i u_j$, one number a neuron. They call it a *porcupine* network. Two things make it worth a look: its
# landscape can be understood completely, and with many lines it comes close to a network without lines.
#
# On line $j$ the neurons have positive mass $a_j$ and negative mass $b_j$ (sums of $|c_i|$), and that is all that the
# loss sees:
#
# $$F = \tfrac18 |m|^2 + \tfrac18 z^\top \psi z, \quad m = \text{student sum} - \text{teacher sum}, \quad
# z = \text{student masses} - \text{teacher masses}.$$
#
# It is a *convex* quadratic in the masses. What is not convex is that a neuron cannot change its sign for free.

# %%
import os

import numpy as np

import landscape as ls
from landscape.figures import lines, regions
from landscape.studies import STUDIES

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 200 if small else 2000

problem = ls.porcupine(lines=[[1.0]], neurons_per_line=2, teacher=[[6.0], [-4.0]])
print(problem.kind, problem.p, problem.normalisation)

# %% [markdown]
# ## Two neurons on one line (figure 5)
#
# The teacher $(6, 4)$ has neurons of one sign, and every minimum is global. The teacher $(6, -4)$ has both, and then a
# student whose neurons are both positive is stuck: to represent the $-4$, one of them would have to pass through zero,
# and near zero it is pushed back. Losses in the picture are $F$; the paper's are twice that.

# %%
landscape_study = STUDIES["porcupine-landscape"](restarts=restarts)
table = landscape_study.run(None, False)
regions.surfaces([cell.problem() for cell in landscape_study.cells().values()], table.cell_dicts())

# %%
print(ls.explore(problem, restarts, init_scale=0.05, progress=False))

# %% [markdown]
# *Flat, escapable* says two things. The minima come in segments: mass may pass between neurons of one sign at no cost.
# And at the end of a segment, where one neuron is at zero, there is a way down: the label carries it as `escape`.

# %%
verdict = ls.label(problem, [2.0, 4.0])
print(verdict.label, verdict.flavour, verdict.loss, "by", verdict.by)
print("one step further:", ls.label(problem, np.array([2.0, 4.0]) + verdict.escape).loss)

# %% [markdown]
# ## Which regions hold bad minima? (figure 4)
#
# In each sign region the loss is a convex quadratic, so a region has at most one level of stationary points. On one
# line only the two regions where all neurons have the same sign can be bad. With lines along two axes:

# %%
signs = STUDIES["porcupine-regions"](
    dimension=2, neurons=(2,), teacher="[[1, 0], [-0.7, 0], [0, 1], [0, -0.7]]", restarts=restarts
)
regions.regions(signs.run(None, False))

# %% [markdown]
# Regions where both lines carry both signs are free of bad minima: there $m = 0$, hence $\psi z = 0$, hence $z = 0$.
#
# ## More neurons, fewer bad ends
#
# From small starts all neurons of one sign on a line move together, so a line that starts with both signs keeps both.
# With $k$ neurons on each of $d$ axes that happens with probability $(1 - 2^{1-k})^d$.

# %%
likelihood = STUDIES["porcupine-likelihood"](restarts=restarts, neurons=(2, 3, 4, 6), lines=(5,), dimensions=(1, 2, 3))
table = likelihood.run(None, False)
inside = [cell["law_inside"] for cell in table.cell_dicts() if cell["law"] is not None]
print(f"{sum(inside)} of {len(inside)} formulas lie in the 95% interval of their share")
lines.likelihood(table.cell_dicts())

# %% [markdown]
# ## Random lines approximate a free network (figure 2)
#
# Now the teacher is any network, and lies on no line. The best network on $r$ random lines is one nonnegative
# least-squares problem. The Schur complement bounds it from below.

# %%
sizes = {"lines": (5, 15, 30, 60), "teachers": 2} if small else {"lines": (5, 15, 30, 60, 120, 250), "teachers": 3}
approximation = STUDIES["porcupine-approximation"](restarts=10 if small else 50, **sizes)
table = approximation.run(None, False)
lines.approximation(table.cell_dicts())

# %% [markdown]
# ## Almost all?
#
# The descents above come close to the optimum in *loss*. But how many of them end *at* it? With two neurons on a line,
# half of all lines start with one sign only:

# %%
for cell in table.cell_dicts()[:: sizes["teachers"]]:
    print(f"{cell['lines']:4d} lines: {cell['labels']['global']} of {cell['finished']} descents end at the optimum")

# %% [markdown]
# Nearly every descent ends at a minimum that is not global (flat and escapable), and nearly every one is within some
# per cent of the optimal loss. "Almost all local optima are global" speaks of regions with both signs on enough lines;
# the share of descents that get there depends on the number of neurons on each line.
