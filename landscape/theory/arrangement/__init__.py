"""The hyperplanes x_k.u = 0 of a data set: their activation cells, and phi, the largest ReLU correlation on the ball.

A neuron's weight direction u acts on the data x [n, d] through relu(x u), which is linear on each cone ("activation
cell") where no x_k.u changes sign. For a residual nu [n] the number

    phi(nu) = max over |u| <= 1 of |nu' relu(x u)|

decides global optimality of two-layer ReLU networks with weight decay: phi(nu) <= beta, nu = -gradient of the loss in
the outputs, holds exactly at global optima. Three ways lead to phi; `phi.phi` takes the first that applies:

* d <= 3, `by="faces"`: the maximum over the faces of the arrangement on the sphere (`faces`, `circles`).
* rank > 3 and cells that can be listed, `by="cells"`: the maximum over all cells (`cells`, `projection`).
* otherwise an interval: ascent from below; branch and bound, spectral and norm bounds from above (`interval`).

Near-dependent rows. `cells` takes rows that are dependent to `rows.RESOLUTION` as dependent: it lists the cells that
are wider than that. `phi` and `phis` in at most three dimensions need no such decision, and their upper bound covers
rounding whatever the position of the rows.

Sources: Pilanci and Ergen 2020 (patterns); Cover 1965 (their number); Zaslavsky 1975 (deletion and restriction); Bach
2017 (zonotopes). The bounds and the rounding analysis are derived here.
"""
