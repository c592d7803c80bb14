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
# # Growing a network until it is provably global
#
# Haeffele and Vidal (2017) look at sums of parallel subnetworks with a regulariser of the same degree:
#
# $$L = \ell\Big(\sum_j \phi(W_j)\Big) + \lambda \sum_j g(W_j), \quad \phi(tW) = t^p \phi(W),\; g(tW) = t^p g(W).$$
#
# Matrix factorisation, two-layer ReLU networks with weight decay, and parallel deep networks are of this kind. Whether
# a stationary point is global over *all widths* is one number: the polar
# $\Omega = \max \{\langle -\nabla\ell, \phi(V)\rangle : g(V) \le 1\}$, at most $\lambda$ at global points and nowhere
# else. And where it is larger, its maximiser $V$ is a new subnetwork that lowers the loss.

# %%
import os

import jax
import jax.numpy as jnp
import numpy as np

import landscape as ls
from landscape.figures import growth
from landscape.studies import STUDIES

small = "LANDSCAPE_SMALL" in os.environ  # CI runs this notebook at a small size
restarts = 20 if small else 200

# %% [markdown]
# ## Two-layer ReLU
#
# From every start: descend, test, add the best neuron, remove dependent ones, until certified. $\Omega$ is exact here.

# %%
study = STUDIES["grow-until-global"](restarts=restarts)
report = study.run(None, False)
print(report)
growth.traces(report.as_dict())

# %% [markdown]
# ## Matrix factorisation: every stationary value is known
#
# With $\frac{\lambda}{2}(|u|^2 + |v|^2)$ the regulariser is the nuclear norm, and $\Omega$ a largest singular value.

# %%
target = np.random.default_rng(0).normal(size=(6, 5))
grown = ls.grow(ls.matrix_factorisation(target, width=1, regularisation=1.2), restarts)
print(grown)
print([(round(one.loss, 6), one.width, round(one.polar, 6)) for one in grown.paths[0].rounds])

# %% [markdown]
# ## A zero subnetwork: global, or a saddle where descents stop all the same
#
# A local *minimum* with a zero subnetwork is global. But descents also end at saddles with zero neurons; the polar
# tells them apart.

# %%
zeros = STUDIES["zero-subnetwork"](restarts=restarts, widths=(1, 2, 4, 9, 15) if small else (1, 2, 4, 6, 9, 15, 30))
report = zeros.run(None, False)
print(report)
growth.zeros(report.as_dict())

# %% [markdown]
# ## Degrees that differ
#
# Weight decay of degree 2 on a cubic unit: near zero the regulariser wins, whatever the data say. Such problems are
# refused (`allow_mismatch=True` is for their study), and nothing on them is ever certified.

# %%
report = STUDIES["degree-mismatch"](restarts=restarts).run(None, False)
print(report)
growth.mismatch(report.as_dict())

# %% [markdown]
# ## Your own subnetwork: a convolution with max pooling
#
# Any JAX function of positive degree will do; its degree is declared, and measured. Without a formula for the polar
# it is estimated from below by ascent from many starts: it can refute, and never certify.


# %%
def output(weights, patches):
    filters, outer = weights
    return outer * jnp.max(jnp.maximum(patches @ filters, 0.0), axis=1)


pooled = ls.Subnetwork(
    name="convolution, max pooling",
    init=lambda key: (jax.random.normal(key, (3,)), jax.random.normal(jax.random.fold_in(key, 1), ())),
    output=output,
    penalty=lambda weights: 0.5 * (jnp.sum(weights[0] ** 2) + weights[1] ** 2),
    degree=2.0,
)
signals = np.random.default_rng(1).normal(size=(6, 7))
patches = np.lib.stride_tricks.sliding_window_view(signals, 3, axis=1)  # [signals, places, 3]
labels = np.random.default_rng(2).normal(size=6)
print(ls.grow(ls.parallel(patches, labels, 1, pooled, regularisation=0.3), 4, most=3 if small else 6))

# %% [markdown]
# With mismatched degrees:

# %%
steep = ls.Subnetwork(
    name="fourth powers",
    init=pooled.init,
    output=output,
    penalty=lambda weights: jnp.sum(weights[0] ** 4) + weights[1] ** 4,
    degree=2.0,
    penalty_degree=4.0,
)
try:
    ls.parallel(patches, labels, 1, steep, regularisation=0.3)
except ls.InputError as error:
    print(error)
