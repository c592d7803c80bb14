"""Training problems next to ours that a convex program of moderate size solves outright, each with its certificate.

Every function returns the best network it found, the true loss of that network (an upper bound on the optimum), and a
lower bound that holds whatever the solver did: the dual value of the network's own residual, scaled until it is
feasible. The two meet to `value - lower_bound`. They serve two ends: bounds and exact answers for users whose problem
fits, and independent values to hold the cone program against.
"""
