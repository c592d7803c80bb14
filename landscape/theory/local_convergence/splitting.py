"""Splitting a neuron of a teacher-student network: another critical point of a wider network, its spectrum foretold.

For s(r z) = r s(z) and fixed outer weights, the neurons mu w and (1 - mu) w compute what w does; for trained outer
weights and any s, two neurons w with outer weights mu a and (1 - mu) a do. A critical point stays critical (Safran,
Yehudai and Shamir 2021, section 4; Fukumizu and Amari 2000). Let P = H_ii - a^2 E s'(w.x)^2 x x^T be what of the block
of neuron i its own square does not make (H_ii - I/2 for ReLU), and u1, u2 the moves of the two parts. The wider Hessian
is known from the narrow one:

    fixed:    u = u1 + u2,                z = (1 - mu) u1 - mu u2,   H[u, rest] + z' P z / (mu (1 - mu)),
    trained:  u = mu u1 + (1 - mu) u2,    z = u1 - u2,               H[u, rest] + z' P z mu (1 - mu),

where with trained weights the moves of both outer weights add up in H. So every negative direction of P makes one of
the split point for mu in (0, 1); with trained weights a mu outside turns their signs round, and a split of a minimum
can be a minimum. Mass passed between the parts makes a zero one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.polish import eigensystem, evaluate
from landscape.precision import float64
from landscape.problems import gaussian
from landscape.problems.outer_weights import OuterWeights
from landscape.problems.problem import QUICK
from landscape.problems.teacher_student import TeacherStudent
from landscape.records import InputError, Spectrum
from landscape.spectrum import spectrum

_moment_hessian = jax.jit(gaussian.moment_hessian, static_argnums=0, compiler_options=QUICK)
STATIONARY = 1e-9  # a gradient norm above this, times the scale, is not a critical point: the forecast would not hold


class Split(NamedTuple):
    """A critical point with one neuron more, where one neuron is two parts of what it was.

    Attributes:
        problem: The wider landscape.
        theta: The split point, [q]: the first part in the place of the neuron, the second as the last neuron.
        neuron: Which neuron was split.
        share: mu, the part of the first.
        block: Eigenvalues of P (see the module's docstring), ascending, [d].
        predicted: Eigenvalues foretold of the split point, ascending, [q].
        measured: Spectrum computed of the split point.
        directions: Unit eigenvectors of its negative eigenvalues, the most negative first, [index, q].
    """

    problem: TeacherStudent | OuterWeights
    theta: np.ndarray
    neuron: int
    share: float
    block: np.ndarray
    predicted: np.ndarray
    measured: Spectrum
    directions: np.ndarray

    @property
    def deviation(self) -> float:
        """Largest distance of an eigenvalue from the one foretold."""
        return float(np.max(np.abs(self.predicted - self.measured.eigenvalues)))


def split(problem: TeacherStudent | OuterWeights, params: Any, neuron: int, share: float = 0.5) -> Split:
    """The critical point with neuron i in two parts, mu and 1 - mu of it, its spectrum as foretold and as computed.

    Args:
        problem: A teacher-student landscape with a homogeneous activation, or with trained outer weights.
        params: A critical point of it, as its chart reads it.
        neuron: Index i of the neuron.
        share: mu, between 0 and 1; with trained outer weights any number but 0 and 1. Default 1/2: there, for fixed
            outer weights, every eigenvalue of 2 P is one of the split point.

    Raises:
        InputError: A neuron of this problem cannot be split so, the point is not critical, or there is no such neuron.
    """
    theta = _checked(problem, params, neuron, share)
    grad, hessian = evaluate(problem, theta)
    if not np.all(np.isfinite(hessian)) or not np.linalg.norm(grad) <= STATIONARY * problem.scale:
        raise InputError(
            f"only a critical point can be split: the gradient norm is {np.linalg.norm(grad):.2g} here, above "
            f"{STATIONARY * problem.scale:.0e}; `label` leads to the stationary point next to it (`polished`)."
        )
    wide, parts = _parts(problem, theta, neuron, share)
    block = own_block(problem, theta, hessian, neuron)
    wider = evaluate(wide, parts)[1]
    values, vectors = _system(wider)
    measured = spectrum(wide, parts, wider)
    assert measured is not None  # the matrix has eigenvalues
    return Split(
        problem=wide,
        theta=parts,
        neuron=neuron,
        share=share,
        block=_system(block)[0],
        predicted=_system(wide_hessian(problem, hessian, block, neuron, share))[0],
        measured=measured,
        directions=vectors[:, values < -measured.error].T,
    )


def own_block(problem: Any, theta: np.ndarray, hessian: np.ndarray, neuron: int) -> np.ndarray:
    """P, [d, d]: the part of a neuron's Hessian block that other neurons make (see the module's docstring).

    Args:
        problem: The landscape.
        theta: The point, [p].
        hessian: Its Hessian, [p, p].
        neuron: Index i.
    """
    hidden, outer = _weights(problem, theta)
    with float64():
        w = jnp.asarray(hidden[neuron][None])
        _, own = _moment_hessian(problem.activation, w, w, jnp.ones(1))
    here = slice(neuron * problem.d, (neuron + 1) * problem.d)
    return hessian[here, here] - outer[neuron] ** 2 * np.asarray(own)[0, 0]


def wide_hessian(problem: Any, hessian: np.ndarray, block: np.ndarray, neuron: int, share: float) -> np.ndarray:
    """The Hessian at the split point, [q, q], from the one before and P.

    Args:
        problem: The narrow landscape.
        hessian: Of the critical point, [p, p].
        block: P of the neuron, [d, d].
        neuron: Which neuron is split.
        share: mu.
    """
    p, d, rows = len(hessian), len(block), problem.width * len(block)
    trained, other, eye = p > rows, 1 - share, np.eye(d)
    both = np.zeros((p + d, p + d))
    both[:p, :p] = hessian
    both[p:, p:] = block * share * other if trained else block / (share * other)
    to_narrow = np.zeros((p + d, p + d + trained))  # moves of the wider network -> (moves of the narrow one, z)
    here, new, z = slice(neuron * d, (neuron + 1) * d), slice(rows, rows + d), slice(p, p + d)
    to_narrow[:rows, :rows] = np.eye(rows)
    if trained:
        to_narrow[here, here], to_narrow[here, new] = share * eye, other * eye
        to_narrow[z, here], to_narrow[z, new] = eye, -eye
        to_narrow[rows:p, rows + d : p + d] = np.eye(problem.width)
        to_narrow[rows + neuron, p + d] = 1.0
    else:
        to_narrow[here, new] = eye
        to_narrow[z, here], to_narrow[z, new] = other * eye, -share * eye
    return to_narrow.T @ both @ to_narrow


def _weights(problem: Any, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hidden [width, d] and outer weights [width]."""
    if isinstance(problem, OuterWeights):
        return problem.parts(theta)
    return theta.reshape(problem.width, problem.d), np.ones(problem.width)


def _parts(problem: Any, theta: np.ndarray, neuron: int, share: float) -> tuple[Any, np.ndarray]:
    """The wider landscape and the split point, [q]."""
    hidden, outer = (part.copy() for part in _weights(problem, theta))
    hidden, outer = np.concatenate([hidden, hidden[neuron][None]]), np.append(outer, outer[neuron])
    if isinstance(problem, OuterWeights) and problem.trained:
        outer[[neuron, -1]] *= [share, 1 - share]
        return problem.of_width(problem.width + 1), np.concatenate([hidden.reshape(-1), outer])
    hidden[neuron] *= share
    hidden[-1] *= 1 - share
    if isinstance(problem, OuterWeights):
        return replace(problem, width=problem.width + 1, outer=outer), hidden.reshape(-1)
    return problem.of_width(problem.width + 1), hidden.reshape(-1)


def escapes(split: Split, number: int, seed: int = 0, size: float = 1e-2) -> np.ndarray:
    """Starting points beside a split point, [number, p + d]: along the most negative direction, both ways, then others.

    The others are random combinations of all negative directions, so that a degenerate least eigenvalue, or a lower
    valley that a less negative direction leads to, is not missed.

    Args:
        split: The split point; it must have a negative direction.
        number: How many points.
        seed: Of the random combinations.
        size: Distance from the split point, in units of the problem's scale.

    Raises:
        InputError: The split point has no negative direction, so that second order shows no way down.
    """
    if not len(split.directions):
        raise InputError(f"no eigenvalue of the split of neuron {split.neuron} is negative: no direction leads down.")
    lowest = split.directions[0]
    random = np.random.default_rng(seed).normal(size=(max(number - 2, 0), len(split.directions))) @ split.directions
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    along = np.concatenate([lowest[None], -lowest[None], random])[:number]
    return split.theta + size * split.problem.scale * along


def _system(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = eigensystem(0.5 * (matrix + matrix.T))
    if found is None:
        raise InputError("the Hessian at this point has no eigenvalues in floating point.")
    return found


def _checked(problem: Any, params: Any, neuron: int, share: float) -> np.ndarray:
    """theta of the point, [p].

    Raises:
        InputError: The neuron cannot be split so.
    """
    trained = isinstance(problem, OuterWeights) and problem.trained
    fixed = isinstance(problem, TeacherStudent | OuterWeights) and problem.activation.homogeneous
    if not trained and not fixed:
        raise InputError(
            "a neuron can be split where s(r z) = r s(z), in teacher_student problems with relu, leaky_relu, abs or "
            "linear, or where outer weights are trained."
        )
    if not (np.isfinite(share) and share not in (0, 1) if trained else 0 < share < 1):
        raise InputError(f"share must be {'any number but 0 and 1' if trained else 'between 0 and 1'}, found {share}.")
    if not 0 <= neuron < problem.width:
        raise InputError(f"neuron must be between 0 and {problem.width - 1}, found {neuron}.")
    theta = problem.write(params)
    hidden, outer = _weights(problem, theta)
    if problem.activation.kinked and not np.all(np.linalg.norm(hidden, axis=1) > 0):
        raise InputError("a neuron is zero, where the loss has no Hessian; a critical point of live neurons can split.")
    if outer[neuron] == 0:
        raise InputError(f"neuron {neuron} has outer weight zero: its parts would do nothing.")
    return theta
