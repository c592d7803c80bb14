"""What descents near a global minimum say: their regime, which teacher each student goes to, and below which loss.

Zhou, Ge and Jin (2021) show for students with tied top weights, of any width at least the teacher's, that below some
loss the gradient is at least kappa L, so that L falls like 1/t and every student reaches a teacher direction. The
theorem's threshold has no constants. What is said here comes from descents that were looked at: it is numerical, speaks
of the descents seen, and is never a label. Global minima are certified by the exact zero set (`theory.tied`,
`theory.teacher_student`).

Two regimes are seen where the theorem's bound, an exponent of 1, is only a bound. At the teacher's own width minima are
nondegenerate: |grad L| ~ L^(1/2), and L falls exponentially. Above it, where several students share a teacher, the loss
is cubic in their angles: |grad L| ~ L^(2/3), and L falls like t^-3 (Xu and Du 2023 for one ReLU teacher).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.fits import Law
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent
from landscape.problems.tied import TiedStudent, masses
from landscape.records import Basin, InputError, Label

STRAY = 0.1  # a student further than this from its teacher, in radians, is astray


# -- which student belongs to which teacher ----------------------------------------------------------------------------


def matching(problem: Problem) -> dict[str, Callable[[Array], Array]]:
    """What to look at along descents: how students gather around teachers, by functions of theta [p].

    Each student belongs to the teacher it has the least angle to (T_i of Zhou, Ge and Jin); up to sign for absolute
    values, not for other activations: relu(w.x) is not relu(-w.x).

    Returns:
        "mass", [k]: the mass of the students of each teacher over its own. "residual", [k]: |sum of its students -
        teacher|, the average neuron against the teacher. "angle": the root mean square angle to their teachers,
        students weighted by mass: those that are nearly dead move slowly and say nothing. "stray": the mass of students
        further than STRAY from their teachers, of all mass.

    Raises:
        InputError: The problem is no student and teacher with a homogeneous activation.
    """
    if isinstance(problem, TiedStudent):
        even, tied = True, True
    elif isinstance(problem, TeacherStudent) and problem.activation.homogeneous:
        even, tied = problem.activation.even, False
    else:
        raise InputError("students are matched to teachers for homogeneous activations over Gaussian inputs only.")
    teacher = np.asarray(problem.teacher, np.float64)

    def gathered(theta: Array) -> dict[str, Array]:
        w = theta.reshape(-1, teacher.shape[1])
        z = masses(w)[1] if tied else w
        v = jnp.asarray(teacher, theta.dtype)
        size, total = jnp.linalg.norm(z, axis=1), jnp.linalg.norm(v, axis=1)
        u, line = z / jnp.maximum(size, jnp.finfo(z.dtype).tiny)[:, None], v / total[:, None]
        cosine = jnp.matmul(u, line.T, precision="highest")
        own = jnp.argmax(jnp.abs(cosine) if even else cosine, axis=1)
        sign = jnp.where(even & (jnp.take_along_axis(cosine, own[:, None], 1)[:, 0] < 0), -1.0, 1.0)
        # From the chord, which knows small angles to their last digit; a cosine knows them to 1e-8.
        chord = jnp.linalg.norm(sign[:, None] * u - line[own], axis=1)
        angle = 2 * jnp.arcsin(jnp.minimum(chord / 2, 1.0))
        member = (own[:, None] == jnp.arange(len(teacher))).astype(z.dtype)
        mean = jnp.matmul(member.T, sign[:, None] * z, precision="highest")
        return {
            "mass": (member * size[:, None]).sum(0) / total,
            "residual": jnp.linalg.norm(mean - v, axis=1),
            "angle": jnp.sqrt(jnp.sum(size * angle**2) / jnp.sum(size)),
            "stray": jnp.sum(jnp.where(angle > STRAY, size, 0.0)) / jnp.sum(size),
        }

    return {name: lambda theta, name=name: gathered(theta)[name] for name in ("mass", "residual", "angle", "stray")}


# -- regimes -----------------------------------------------------------------------------------------------------------


class Regime(StrEnum):
    """How descents come to a minimum."""

    NONDEGENERATE = "nondegenerate"
    OVER_PARAMETRISED = "over-parametrised"
    THEOREM = "within the theorem's bound"
    NONE = "no regime"


class Verdict(NamedTuple):
    """What trajectories say of the neighbourhood of global minima.

    Attributes:
        regime: Which.
        words: A sentence.
        kappa: The least |grad L| / L seen below the top of the window; the theorem says that it is positive.
        basin: NUMERICAL: the descents seen, and nothing that is proved.
    """

    regime: Regime
    words: str
    kappa: float
    basin: Basin = Basin.NUMERICAL


def verdict(exponent: Law, rate: Law, loss: np.ndarray, grad_norm: np.ndarray) -> Verdict:
    """The regime of some descents.

    Args:
        exponent: Of gradient norm against loss.
        rate: Of loss against time.
        loss: Loss, [r, t].
        grad_norm: Gradient norm, [r, t].
    """
    with np.errstate(invalid="ignore"):
        inside = (loss >= exponent.window.low) & (loss <= exponent.window.high)
    kappa = float(np.min(grad_norm[inside] / loss[inside])) if inside.any() else float("nan")

    def holds(law: Law, value: float) -> bool:
        # Intervals are of medians and may be as narrow as 0.1%: 1% is what a window of a few decades can tell.
        return law.name == "power law" and 0.99 * law.low <= value <= 1.01 * law.high

    if holds(exponent, 0.5) and rate.name == "exponential":
        words = "the gradient goes like L^(1/2) and the loss falls exponentially: nondegenerate minima"
        return Verdict(Regime.NONDEGENERATE, words, kappa)
    if holds(exponent, 2 / 3) and holds(rate, 3.0):
        words = "the gradient goes like L^(2/3) and the loss falls like t^-3: students share teachers"
        return Verdict(Regime.OVER_PARAMETRISED, words, kappa)
    if kappa > 0 and exponent.fitted:
        words = f"no power is seen to hold; the gradient is at least {kappa:.3g} L, as the theorem's bound has it"
        return Verdict(Regime.THEOREM, words, kappa)
    return Verdict(Regime.NONE, exponent.reason or "no descent came into the window", kappa)


# -- the threshold -----------------------------------------------------------------------------------------------------


class Threshold(NamedTuple):
    """The loss below which every descent that was seen converges to a global minimum.

    Attributes:
        loss: The least loss that a descent which ends elsewhere has shown; inf where none does.
        failing: Number of descents that end elsewhere.
        below: Number of descents that came below that loss and ended global.
        open: Number of descents that came below that loss and had no end yet when their budget was over.
        failing_at_most: Upper 95% limit of the share of descents that fail among those that come below it and end.
        basin: NUMERICAL: a statement on descents from these starts, and no bound.
    """

    loss: float
    failing: int
    below: int
    open: int
    failing_at_most: float
    basin: Basin = Basin.NUMERICAL


def threshold(loss: np.ndarray, labels: np.ndarray) -> Threshold:
    """The empirical threshold of convergence, with the uncertainty that the number of descents leaves.

    Args:
        loss: Loss along the descents, [r, t]; NaN where it was not looked at.
        labels: Of their ends, [r] of text.
    """
    converged = labels == Label.GLOBAL
    unknown = np.isin(labels, [str(Label.UNCONVERGED), str(Label.UNDECIDED)])
    least = np.nanmin(np.where(np.isfinite(loss), loss, np.inf), axis=1) if loss.size else np.zeros(0)
    failing = least[~converged & ~unknown]
    level = float(np.min(failing)) if len(failing) else float("inf")
    below = int(np.sum(least[converged] < level))
    # None of n failed: a share p would have been missed with probability (1 - p)^n.
    at_most = 1.0 - 0.05 ** (1.0 / below) if below else 1.0
    return Threshold(level, len(failing), below, int(np.sum(least[unknown] < level)), float(at_most))
