"""Ways down: methods, and lanes that advance by them."""

from landscape.descent.first_order import Optax
from landscape.descent.lane import Lane, Method, advance, init
from landscape.descent.lbfgs import PAIRS
from landscape.descent.named import LENGTHS, OPTIMISERS, method

__all__ = ["LENGTHS", "OPTIMISERS", "PAIRS", "Lane", "Method", "Optax", "advance", "init", "method"]
