"""Splitting a neuron of a teacher-student network: another critical point of a wider network, its spectrum foretold.

For s(r z) = r s(z) and output weights of one, the neurons mu w and (1 - mu) w compute what w does, so a critical point
stays critical (Safran, Yehudai and Shamir 2021, section 4; Fukumizu and Amari 2000 for trained output weights). Let
P = H_ii - E s'(w.x)^2 x x^T be what of the block of neuron i its own square does not make (H_ii - I/2 for ReLU). The
wider Hessian is then known from the narrow one: with u1, u2 the moves of the two parts,

    u = u1 + u2,   z = (1 - mu) u1 - mu u2,   H_wide[u1, u2, rest] = H[u, rest] + z' P z / (mu (1 - mu)).

So every negative direction of P makes one of the split point, P w = 0 makes a zero one (mass is passed between the
parts), and at mu = 1/2 every eigenvalue of 2 P is one of the split point.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from landscape.polish import eigensystem, evaluate
from landscape.precision import float64
from landscape.problems import gaussian
from landscape.problems.teacher_student import TeacherStudent
from landscape.records import InputError, Spectrum
from landscape.spectrum import spectrum

STATIONARY = 1e-9  # a gradient norm above this, times the scale, is not a critical point: the forecast would not hold


class Split(NamedTuple):
    """A critical point with one neuron more, where one neuron is two parts of what it was.

    Attributes:
        problem: The wider landscape.
        theta: The split point, [p + d]: the first part in the place of the neuron, the second as the last neuron.
        neuron: Which neuron was split.
        share: mu, the part of the first.
        block: Eigenvalues of P = H_ii - E s'(w.x)^2 x x^T, ascending, [d].
        predicted: Eigenvalues foretold of the split point, ascending, [p + d].
        measured: Spectrum computed of the split point.
        directions: Unit eigenvectors of its negative eigenvalues, the most negative first, [index, p + d].
    """

    problem: TeacherStudent
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


def split(problem: TeacherStudent, params: object, neuron: int, share: float = 0.5) -> Split:
    """The critical point with neuron i as mu w_i and (1 - mu) w_i, its spectrum as foretold and as computed.

    Args:
        problem: A teacher-student landscape with a homogeneous activation.
        params: A critical point of it: `Params(hidden=[width, d])` or the bare matrix.
        neuron: Index i of the neuron.
        share: mu, between 0 and 1. Default 1/2: there the most negative eigenvalue is twice that of P.

    Raises:
        InputError: The activation is not homogeneous, the point is not critical, or there is no such neuron or share.
    """
    theta = _checked(problem, params, share)
    if not 0 <= neuron < problem.width:
        raise InputError(f"neuron must be between 0 and {problem.width - 1}, found {neuron}.")
    grad, hessian = evaluate(problem, theta)
    w = theta.reshape(problem.width, problem.d)
    if not np.all(np.isfinite(hessian)) or not np.all(np.linalg.norm(w, axis=1) > 0):
        raise InputError("a neuron is zero, where the loss has no Hessian; a critical point of live neurons can split.")
    if not np.linalg.norm(grad) <= STATIONARY * problem.scale:
        raise InputError(
            f"only a critical point can be split: the gradient norm is {np.linalg.norm(grad):.2g} here, above "
            f"{STATIONARY * problem.scale:.0e}; `label` leads to the stationary point next to it (`polished`)."
        )
    wide = problem.of_width(problem.width + 1)
    parts = np.concatenate([w, (1 - share) * w[neuron][None]])
    parts[neuron] *= share
    block = own_block(problem, theta, hessian, neuron)
    wider = evaluate(wide, parts.reshape(-1))[1]
    values, vectors = _system(wider)
    measured = spectrum(wide, parts.reshape(-1), wider)
    assert measured is not None  # the matrix has eigenvalues
    return Split(
        problem=wide,
        theta=parts.reshape(-1),
        neuron=neuron,
        share=share,
        block=_system(block)[0],
        predicted=_system(wide_hessian(hessian, block, neuron, share))[0],
        measured=measured,
        directions=vectors[:, values < -measured.error].T,
    )


def own_block(problem: TeacherStudent, theta: np.ndarray, hessian: np.ndarray, neuron: int) -> np.ndarray:
    """P = H_ii - E s'(w_i.x)^2 x x^T, [d, d]: the part of a neuron's Hessian block that other neurons make.

    Args:
        problem: The landscape.
        theta: The point, [p].
        hessian: Its Hessian, [p, p].
        neuron: Index i.
    """
    d = problem.d
    w = theta.reshape(problem.width, d)[neuron][None]
    with float64():
        _, own = gaussian.moment_hessian(problem.activation, jnp.asarray(w), jnp.asarray(w), jnp.ones(1))
    here = slice(neuron * d, (neuron + 1) * d)
    return hessian[here, here] - np.asarray(own)[0, 0]


def wide_hessian(hessian: np.ndarray, block: np.ndarray, neuron: int, share: float) -> np.ndarray:
    """The Hessian at the split point, [p + d, p + d], from the one before and P (see the module's docstring).

    Args:
        hessian: Of the critical point, [p, p].
        block: P of the neuron, [d, d].
        neuron: Which neuron is split.
        share: mu.
    """
    p, d = len(hessian), len(block)
    both = np.zeros((p + d, p + d))
    both[:p, :p] = hessian
    both[p:, p:] = block / (share * (1 - share))
    here, new, eye = slice(neuron * d, (neuron + 1) * d), slice(p, p + d), np.eye(d)
    to_narrow = np.eye(p + d)  # moves of the wider network -> (moves of the narrow one, z)
    to_narrow[here, new] = eye
    to_narrow[new, here], to_narrow[new, new] = (1 - share) * eye, -share * eye
    return to_narrow.T @ both @ to_narrow


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


def _checked(problem: TeacherStudent, params: object, share: float) -> np.ndarray:
    if not isinstance(problem, TeacherStudent) or not problem.activation.homogeneous:
        raise InputError(
            "a neuron can be split where s(r z) = r s(z) and output weights are one: in teacher_student problems with "
            "relu, leaky_relu, abs or linear."
        )
    if not 0 < share < 1:
        raise InputError(f"share must be between 0 and 1, found {share}.")
    return problem.write(params)
