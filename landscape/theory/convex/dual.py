"""The dual of the convex program: the bound for every width that a residual gives, scaled into the dual's domain."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr

from landscape.problems.datafit import LOGISTIC, SQUARED, Data
from landscape.theory.arrangement.records import Phi

EPS = float(np.finfo(float).eps)


def lower_bound(data: Data, nu: np.ndarray, phi: Phi) -> float:
    """A number below the loss of every network of every width, from any nu [n] and phi(nu) (theory (1.4)).

    The dual value of t nu, |t| phi <= beta, t the best such; for a free outer bias nu is centred first. Rounding is
    taken off, so the bound holds as a statement about real numbers if `phi.upper` does. At least 0.
    """
    sizes = np.sqrt(np.einsum("ij,ij->i", data.x, data.x))
    upper = float(phi.upper)
    if data.outer_bias == "free":
        given, nu = nu, centred(data, nu)
        # phi moves by at most sum_k |x_k| |change in nu_k|.
        upper += float(np.abs(nu - given) @ sizes) * (1 + len(nu) * EPS)
    upper += 2 * EPS * float(np.abs(nu) @ sizes)  # t nu is rounded entry by entry
    point = scale(data, nu, upper) * nu
    p = point * data.y
    if data.fit is SQUARED:
        terms = [*(point * data.y), *(-0.5 * point * point)]
        off = 2 * EPS * math.fsum(map(abs, terms))
        slopes = np.abs(data.y) + np.abs(point)
    else:
        if p.min(initial=0.5) < 0 or p.max(initial=0.5) > 1:
            return 0.0
        terms = [*entr(p), *entr(1 - p)]
        off = 8 * EPS * (math.fsum(terms) + len(p))
        with np.errstate(divide="ignore"):
            slopes = 1 - np.log(p) - np.log1p(-p)
    left = math.fsum(point)  # exactly rounded
    if data.outer_bias == "regularised":
        paid = left * left / (2 * data.weight_decay)
        terms.append(-paid)
        off += 8 * EPS * paid
    elif data.outer_bias == "free":
        # What is left goes into one entry, well inside the domain; the slope there at most doubles on the way.
        k = int(np.argmin(slopes)) if data.fit is LOGISTIC else 0
        if data.fit is LOGISTIC and min(p[k], 1 - p[k]) < 4 * abs(left):
            return 0.0
        if left != 0:
            off += 2 * abs(left) * float(slopes[k])
            # phi grows by at most |left| |x_k|, and the value is at least linear in the share that keeps phi <= beta.
            off += abs(left) * float(sizes[k]) / data.weight_decay * math.fsum(map(abs, terms))
    value = math.fsum(terms)
    return max(0.0, value - off - EPS * abs(value))


def centred(data: Data, nu: np.ndarray) -> np.ndarray:
    """A free outer bias asks a dual point to sum to zero; the logistic one must stay in [0, 1] times the labels."""
    if data.outer_bias != "free":
        return nu
    if data.fit is SQUARED:
        return nu - nu.mean()
    positive, negative = float(nu[data.y > 0].sum()), -float(nu[data.y < 0].sum())
    least = min(positive, negative)
    if least <= 0:
        return np.zeros_like(nu)
    return np.where(data.y > 0, nu * (least / positive), nu * (least / negative))


def scale(data: Data, nu: np.ndarray, phi: float) -> float:
    """The t in [-beta/phi, beta/phi] that makes the dual value of t nu largest (t >= 0 for the logistic loss)."""
    beta = data.weight_decay
    most = beta / phi * (1 - 4 * EPS) if phi > 0 else math.inf
    bias = float(np.sum(nu)) ** 2 / beta if data.outer_bias == "regularised" else 0.0
    if data.fit is SQUARED:
        curvature = float(nu @ nu) + bias
        return min(max(float(nu @ data.y) / curvature, -most), most) if curvature > 0 else 0.0
    p = nu * data.y
    if p.min() < 0 or p.max() <= 0:
        return 0.0
    most = min(most, 1 / float(p.max()))
    inside = p[p > 0]

    def slope(t: float) -> float:
        q = t * inside
        with np.errstate(divide="ignore"):
            return float(np.sum(inside * (np.log1p(-np.minimum(q, 1.0)) - np.log(q)))) - t * bias

    if slope(most) >= 0:
        return most
    return float(brentq(slope, most * 1e-12, most)) if slope(most * 1e-12) > 0 else 0.0  # pyright: ignore
