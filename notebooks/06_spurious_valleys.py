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
# # What keeps a descent from leaving: spurious valleys
#
# A minimum is a point. A *valley* is a connected component of a sublevel set $\{L \le c\}$, and it is *spurious* if it
# holds no global minimum: a descent inside never leaves it (Venturi, Bandeira and Bruna 2019). To say that two networks
# are joined below a level needs a path; to say that they are not needs a bound from below. Here a barrier is an
# interval with both.

# %%
import os

import numpy as np

import landscape as ls
from landscape.figures import valleys
from landscape.figures.disconnectivity import disconnectivity
from landscape.studies import STUDIES
from landscape.theory.spurious_valleys.published import valley
from landscape.topology.graph import components, depth

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 30 if small else 200

# %% [markdown]
# ## A valley of known depth
#
# Two ReLU neurons on eight rows. Two positive neurons cannot use the row of target $-3$: their best loss is $4.5$. To
# leave, one outer weight must pass zero, where the loss is at least $31/6$. Beyond lies $2/3$.

# %%
found = valley()
problem, bottom = found.problem, found.bottom
ways = ls.paths_between(problem, [problem.read(bottom), problem.read(found.way[-1])], stationary=False)
print(ways)
print(f"closed form: {found.barrier:.10f}")

# %% [markdown]
# Three paths stand side by side: the straight line, the string that it is pulled to, and dynamic string sampling
# (Freeman and Bruna 2017), which needs few way-points. None can be below $31/6$, and the string all but reaches it.
#
# ## From a census to its topology
#
# `ls.topology_of` goes from restarts to a graph: minima, and the barriers between them as intervals.

# %%
census = ls.explore(problem, restarts, seed=0, progress=False)
topology = ls.topology_of(census)
print(topology)

# %%
disconnectivity(topology.graph)

# %%
losses = [one.loss for one in topology.graph.minima]
valley_floor = int(np.argmin(np.abs(np.array(losses) - 4.5)))
print("depth of the valley:", depth(topology.graph, valley_floor))
for level in (4.6, 5.3, 6.0):
    print(f"components of the sublevel set at {level} that hold minima, at least and at most:",
          components(topology.graph, level))  # fmt: skip

# %% [markdown]
# ## Who is caught?
#
# The paper says that spurious valleys are avoided with high probability by wide networks. For every start, and for the
# end of its descent: does it lie, at its own loss, in a valley without a global minimum? The component is gone through
# cell by cell, so that on these data every answer is yes or no.

# %%
study = STUDIES["valley-by-width"](widths=(1, 2, 3, 7), restarts=restarts)
result = study.run(progress=False)
print(result)

# %%
valleys.by_width(result.record)

# %% [markdown]
# Few descents of three neurons end at a global minimum, and none in a spurious valley: a way of no larger loss leads on
# from where they stop. From width 7 on, the intrinsic dimension of these rows, a theorem says so.
#
# ## A smooth landscape: transition states
#
# Six ReLU neurons of a teacher with Gaussian inputs. States of index one join its minima, and theory bounds barriers
# from below by the rise on a sphere about a strict minimum.

# %%
teacher = ls.orthonormal_teacher(6)
run = ls.explore(teacher, 20 if small else 100, seed=0, optimiser="flow", progress=False)
smooth = ls.topology_of(run, searches=100 if small else 400)
print(smooth)

# %%
disconnectivity(smooth.graph)
