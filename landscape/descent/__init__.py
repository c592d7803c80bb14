"""Ways down: methods, and lanes that advance by them."""

from landscape.descent.first_order import from_optax
from landscape.descent.lane import Lane, Method, advance, init
from landscape.descent.lbfgs import PAIRS
from landscape.descent.named import OPTIMISERS, method

__all__ = ["OPTIMISERS", "PAIRS", "Lane", "Method", "advance", "from_optax", "init", "method"]
