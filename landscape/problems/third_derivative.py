"""How fast the Hessian of a teacher-student loss with a homogeneous activation can change: bounds, and why they hold.

A pair of neurons w, v at angle t adds |w| |v| (sin t + (pi - t) cos t) / (2 pi), times `arc`, to the loss. Write rho =
|w|, P for the projection off w, q for the unit vector along P v (so v / |v| = cos t w / rho + sin t q), and z = q.x. In
a direction a = alpha w / rho + x, x = P a, of w, and b of v, the third derivatives of the pair are

    www[a, a, a] = -|v| / (2 pi rho^2) (3 alpha sin t (|x|^2 + z^2) + cos t z (3 |x|^2 - z^2)),
    wwv[a, a, b] = 1 / (2 pi rho) ((q.b) |x|^2 + 2 z (x.b) - (q.b) z^2),    b taken off w.

Of unit a and b they are at most C |v| / rho^2, C = 3 sqrt(3) / (4 pi), and 1 / (pi rho). The third derivative of the
loss in a unit direction u is the sum over students i of www_i[u_i, u_i, u_i], each the signed sum over its partners j,
and of 3 wwv_ij[u_i, u_i, u_j] over students j; for a symmetric form that is its norm, and the Lipschitz constant of the
Hessian where it bounds the form in a whole ball.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

C = 3 * np.sqrt(3) / (4 * np.pi)
PARALLEL = 1e-6  # sine of an angle below which q is taken for unknown: rounding turns it by eps over the sine


class _Pairs(NamedTuple):
    """Students i against all neurons j, students first; a student beside itself counts for nothing.

    Attributes:
        norm: Of all neurons, [N].
        unit: w / rho of the students, [n, d].
        sign: 1 for students, -1 for teachers, 0 on the diagonal, [n, N].
        cosine: [n, N], zero on the diagonal.
        sine: [n, N], zero on the diagonal.
        toward: q, [n, N, d], zero where the sine is.
    """

    norm: np.ndarray
    unit: np.ndarray
    sign: np.ndarray
    cosine: np.ndarray
    sine: np.ndarray
    toward: np.ndarray


def _pairs(student: np.ndarray, teacher: np.ndarray) -> _Pairs:
    n, both = len(student), np.concatenate([student, teacher])
    norm = np.linalg.norm(both, axis=1)
    unit = both / norm[:, None]
    apart = 1.0 - np.eye(n, len(both))
    cosine = np.clip(unit[:n] @ unit.T, -1.0, 1.0)
    off = (unit[None] - cosine[:, :, None] * unit[:n, None]) * apart[:, :, None]
    sine = np.linalg.norm(off, axis=2)
    toward = off / np.where(sine > 0, sine, 1.0)[:, :, None]
    sign = np.where(np.arange(len(both)) < n, 1.0, -1.0)
    return _Pairs(norm, unit[:n], apart * sign, apart * cosine, sine, toward)


@np.errstate(over="ignore", invalid="ignore")  # of points that went to infinity nothing is known
def hessian_lipschitz(
    arc: float,
    student: Float[np.ndarray, "n d"],
    teacher: Float[np.ndarray, "k d"],
    radii: Float[np.ndarray, " r"],
) -> Float[np.ndarray, " r"]:
    """Lipschitz constants of the Hessian within balls about the student; inf where a neuron may be zero.

    What the pairs add up to at the centre, and what that can change within the ball. It is sharp in small balls: at the
    minima of k = n = 20 it is 1.7 to 1.9 where power iteration finds 1.44, and pairs one by one at their worst are 21
    to 27. The global minimum has parallel pairs, and 2.4.

    Args:
        arc: The activation's factor before the angles' part of a moment.
        student: Its neurons.
        teacher: Its neurons, none zero.
        radii: Euclidean, of the balls.
    """
    found, norms = np.full(len(radii), np.inf), np.linalg.norm(student, axis=1)
    inside = radii < np.min(norms)
    if inside.any() and np.all(np.isfinite(norms)):
        pairs = _pairs(student, teacher)
        found[inside] = abs(arc) * (_at_centre(pairs) + _change(pairs, radii[inside]))
    return np.where(np.isnan(found), np.inf, found)


def _change(pairs: _Pairs, radii: np.ndarray) -> np.ndarray:
    """How much the third derivative in a unit direction can change within balls; radii [r] are below every norm.

    Along a unit move of w the frame (w / rho, q) turns by at most 1 / (rho sin t) and t by 1 / rho, along one of v q
    turns by 1 / (|v| sin t) and t by 1 / |v|; a form of norm N of three arguments that turn changes by 3 N a unit of
    angle, and C |v| / rho^2 bounds the derivative of www by t too. With the powers of rho and |v| before them, www
    changes by C |v| / rho^2 times sqrt(4 + (1 + 3 / sin t)^2) / rho <= 4.5 / (rho sin t), and times sqrt(2 + 9 / sin^2
    t) / |v| <= 3.4 / (|v| sin t); wwv by 1 / (pi rho) times sqrt(1 + 9 / sin^2 t) / rho <= 3.2 / (rho sin t), and times
    3 / (|v| sin t). No pair changes by more than twice its bound. Angles turn by no more than arcsin(radius / norm) a
    neuron. Sums over pairs of forms of norms e_ij and f_ij are at most the largest of
    sqrt((sum_j e_ij)^2 + 9 sum_j f_ij^2), since |x_i| e + 3 sqrt(1 - |x_i|^2) f <= sqrt(e^2 + 9 f^2).
    """
    n = len(pairs.unit)
    moves = radii[:, None] * (np.arange(len(pairs.norm)) < n)  # [r, N]
    least, turned = pairs.norm - moves, np.arcsin(moves / pairs.norm)
    rho, apart = least[:, :n, None], np.abs(pairs.sign)
    www = apart * C * (pairs.norm + moves)[:, None] / rho**2  # [r, n, N]
    wwv = apart[:, :n] / (np.pi * rho)
    sine = pairs.sine - turned[:, :n, None] - turned[:, None]
    clear = sine > PARALLEL
    steep = np.where(clear, 1.0 / np.where(clear, sine, 1.0), np.inf)
    own = radii[:, None, None] / rho + 1e-15  # not zero times infinity
    other = (moves / least)[:, None]
    bent = www * np.minimum(steep * (4.5 * own + 3.4 * other), 2.0)
    mixed = wwv * np.minimum(steep[:, :, :n] * (3.2 * own + 3.0 * other[:, :, :n]), 2.0)
    rounding = 1e-8 * np.max(www.sum(axis=2) + 3 * wwv.sum(axis=2), axis=1)  # eps / PARALLEL of a pair, several times
    return np.max(np.hypot(bent.sum(axis=2), 3 * np.linalg.norm(mixed, axis=2)), axis=1) + rounding


def _at_centre(pairs: _Pairs) -> float:
    """The third derivative at the student itself, for arc = 1, in any unit direction u.

    Write u_i = alpha_i w_i / rho_i + x_i, and X = sum |x_i|^2 = 1 - sum alpha_i^2. What is linear in alpha is

        3 sum_i [sum_j alpha_j sin t_ij (|x_i|^2 + z_ij^2) / (2 pi rho_i) - alpha_i x_i H_ii x_i / rho_i],

    H_ii the Hessian's own block of neuron i; as a form in alpha it is at most 3 sqrt(1 - X) sum_i |x_i|^2 kappa_i,
    kappa_i^2 = [sum_j sin^2 + 3 |sum_j q q'|] / (2 pi rho_i)^2 + |H_ii|^2 / rho_i^2, for 2 z^2 + z^4 <= 3 z^2. In
    the rest of wwv, q_ij has no more than |cos t_ij| off w_j, so that it is at most 3 sum_i |x_i|^2 sqrt(X - |x_i|^2)
    mu_i with mu_i = (sqrt(sum_j cos^2) + 2 sqrt |sum_j q q'|) / (2 pi rho_i). The rest of www is a cubic form of x_i,
    at most |x_i|^3 tau_i. With signed c = |v_j| cos t_ij, m = sum c q and F = sum c (q.x)^3, whose norm is at most that
    of F as a matrix [d, d^2], tau_i is 3 |m| + |F| over 2 pi rho_i^2; or 2 |c| of the partner with the largest c, for
    |3 z - z^3| <= 2, and the same of the others. With kappa and nu the largest of kappa_i and sqrt(9 mu_i^2 + tau_i^2)
    the sum is at most

        max over X of 3 kappa X sqrt(1 - X) + nu X^(3/2) = (3 kappa s + nu) / (1 + s^2)^(3/2),

    s = 2 kappa / (nu + sqrt(nu^2 + 8 kappa^2)).
    """
    n = len(pairs.unit)
    norm, toward, seen = pairs.norm[:n], pairs.toward, pairs.toward[:, :n]
    sine, cosine = pairs.sine[:, :n], pairs.cosine[:, :n]
    pull = pairs.sign * pairs.norm * pairs.sine
    off = np.eye(toward.shape[2]) - pairs.unit[:, :, None] * pairs.unit[:, None, :]  # P
    block = _outer(pull, toward) + pull.sum(axis=1)[:, None, None] * off  # 2 pi rho H_ii

    c = pairs.sign * pairs.norm * pairs.cosine
    first = np.abs(c) == np.max(np.abs(c), axis=1, keepdims=True)
    alone = 2 * np.sum(np.abs(c), axis=1, where=first)
    least = np.minimum(_cubic(c, toward), alone + _cubic(np.where(first, 0.0, c), toward))

    spread = _largest(_outer(np.ones_like(sine), seen))
    stretched = np.sum(sine**2, axis=1) + 3 * spread + _largest(block @ block) / norm**2
    kappa = np.max(np.sqrt(stretched) / norm) / (2 * np.pi)
    mu = (np.linalg.norm(cosine, axis=1) + 2 * np.sqrt(spread)) / (2 * np.pi * norm)
    nu = np.max(np.hypot(3 * mu, least / (2 * np.pi * norm**2)))
    below = nu + np.sqrt(nu**2 + 8 * kappa**2)
    s = 2 * kappa / below if below > 0 else 0.0
    return float((3 * kappa * s + nu) / (1 + s * s) ** 1.5)


def _cubic(c: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A bound on sum_j c_ij (z^3 - 3 z), z = rows_ij.x, for unit x: 3 |m| + |F| of `_at_centre`, [n]."""
    mean = np.linalg.norm((c[:, None, :] @ rows)[:, 0], axis=1)
    twice = c[:, :, None] * c[:, None, :] * np.square(rows @ rows.swapaxes(1, 2))
    return 3 * mean + np.sqrt(_largest(rows.swapaxes(1, 2) @ (twice @ rows)))  # F F'


def _outer(weight: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """sum_j weight_ij rows_ij rows_ij', [n, d, d]."""
    return (weight[:, :, None] * rows).swapaxes(1, 2) @ rows


def _largest(some: np.ndarray) -> np.ndarray:
    """An upper bound on the largest eigenvalue of each of some matrices [n, d, d] without negative ones.

    (tr A^64)^(1 / 64), by at most 5% too large for 20 eigenvalues, in a third of the time of an eigensolver.
    """
    found = 1.0
    for power in range(7):
        trace = np.trace(some, axis1=1, axis2=2)
        found = found * trace ** (0.5**power)
        some = some / np.where(trace > 0, trace, 1.0)[:, None, None]
        some = some @ some
    return np.asarray(found)
