"""What descents near a global minimum say: their regime, and the loss below which all converge.

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

from enum import StrEnum
from typing import NamedTuple

import numpy as np

from landscape.fits import Law
from landscape.records import Basin, Label


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
        words = (
            f"neither of the two laws is seen; the gradient is at least {kappa:.3g} L, as the theorem's bound has it"
        )
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
