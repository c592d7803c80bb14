"""Power laws are found where they are and refused where they are not; regimes, matching and thresholds say what is."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from slow import slow

import landscape as ls
from landscape import fits
from landscape.theory.local_convergence.matching import matching
from landscape.theory.local_convergence.regimes import Regime, threshold, verdict


def _descents(loss_of, r=30, seed=0):
    """Times, and losses with half a per mille of noise, of r descents whose clocks start at other times."""
    rng = np.random.default_rng(seed)
    t = np.geomspace(1, 1e6, 200)[None] * np.ones((r, 1)) + rng.uniform(0, 30, (r, 1))
    return t, loss_of(t, rng.uniform(0.5, 2, (r, 1))) * np.exp(5e-4 * rng.normal(size=t.shape))


@pytest.mark.parametrize("power", [1.0, 2.0, 3.0])
def test_a_power_of_time_is_found_whenever_its_clock_was_started(power):
    time, loss = _descents(lambda t, c: c * 1e-3 * (0.2 + t / 10) ** -power)
    law = fits.rate(time, loss, 0.0)
    assert law.name == "power law"
    assert law.low <= power <= law.high
    assert law.slope == pytest.approx(power, abs=0.01)
    assert law.share == 1.0


def test_an_exponential_is_no_power_law_of_time_and_its_rate_is_found():
    time, loss = _descents(lambda t, c: c * np.exp(-t / 2000))
    law = fits.rate(time, loss, 0.0)
    assert law.name == "exponential"
    assert "exponentially" in law.reason
    assert law.slope == pytest.approx(1 / 2000, rel=1e-3)


@pytest.mark.parametrize(("power", "decades"), [(3, 2.05), (4, 2.1), (5, 3.0)])
def test_a_power_of_time_that_is_seen_for_a_short_while_is_no_exponential(power, decades):
    time = np.tile(np.geomspace(1, 10 ** (decades / power), 60), (8, 1))
    law = fits.rate(time, 1e-4 * time**-power, 0.0)
    assert law.name == "power law"
    assert law.slope == pytest.approx(power, rel=1e-2)


@pytest.mark.parametrize("alpha", [0.5, 2 / 3, 1.0])
def test_an_exponent_is_found_within_its_interval(alpha):
    _, loss = _descents(lambda t, c: c * t**-2.0)
    noise = np.exp(1e-3 * np.random.default_rng(1).normal(size=loss.shape))
    law = fits.exponent(loss, 3.0 * loss**alpha * noise, 0.0)
    assert law.name == "power law"
    assert law.slope == pytest.approx(alpha, abs=1e-3)
    assert law.low <= alpha <= law.high
    assert law.high - law.low < 0.01


def test_a_slope_that_changes_along_the_window_is_no_power_law():
    _, loss = _descents(lambda t, c: c * t**-2.0)
    law = fits.exponent(loss, loss**0.5 + 1e3 * loss, 0.0)
    assert law.name == "no power law"
    assert law.reason.startswith("slopes go from 0.7")
    assert "to 0.5" in law.reason
    assert law.high - law.low > 0.2


def test_a_drift_too_small_to_be_refused_widens_the_interval():
    _, loss = _descents(lambda t, c: c * t**-2.0)
    law = fits.exponent(loss, loss ** (2 / 3) * (1 + 10 * loss ** (1 / 4)), 0.0)
    assert law.name == "power law"
    assert law.low < law.lower_half < law.slope < law.upper_half <= law.high
    assert law.high - law.low > 0.01


def test_looks_below_the_floor_of_the_loss_are_not_fitted():
    _, loss = _descents(lambda t, c: c * t**-2.0)
    seen = loss + 1e-9  # rounding, all of one sign
    blind = fits.exponent(seen, loss ** (2 / 3), 0.0)
    aware = fits.exponent(seen, loss ** (2 / 3), 1e-8)
    assert blind.name == "no power law"
    assert aware.slope == pytest.approx(2 / 3, abs=0.01)


def test_descents_that_never_come_into_the_window_have_no_law():
    time, loss = _descents(lambda t, c: c * t**-2.0)
    law = fits.rate(time, 1e3 + loss, 0.0)
    assert (law.name, law.fitted) == ("no power law", 0)
    assert "no descent has" in law.reason
    assert law.as_dict()["slope"] is None


@pytest.mark.parametrize("window", [fits.Window(1e-4, 1e-6), fits.Window(0.0, 1.0)])
def test_an_empty_window_is_refused(window):
    with pytest.raises(ls.InputError, match="needs 0 < low < high"):
        fits.rate(np.ones((1, 3)), np.ones((1, 3)), 0.0, window)


# -- matching ----------------------------------------------------------------------------------------------------------


def _seen(problem, theta):
    with jax.enable_x64(True):
        return {name: np.asarray(f(np.asarray(theta, float).reshape(-1))) for name, f in matching(problem).items()}


def test_students_of_absolute_values_match_up_to_sign_and_those_of_relu_do_not():
    theta = [[0.5, 0.0], [-0.5, 0.0], [0.0, 1.0]]
    even = _seen(ls.teacher_student(np.eye(2), 3, "abs"), theta)
    np.testing.assert_allclose(even["mass"], [1, 1])
    assert even["residual"].max() == 0
    assert even["angle"] == 0
    signed = _seen(ls.teacher_student(np.eye(2), 3), theta)
    # -e_1 / 2 is a right angle from e_2, and nearer to it than to e_1.
    np.testing.assert_allclose(signed["mass"], [0.5, 1.5])
    assert signed["stray"] == pytest.approx(0.25)


def test_tied_students_carry_the_square_of_their_length_and_small_angles_keep_their_digits():
    tiny = 1e-9
    theta = np.array([[np.sqrt(0.75), 0.0], [0.5 * np.cos(tiny), 0.5 * np.sin(tiny)], [0.0, -1.0]])
    seen = _seen(ls.tied_student(np.eye(2), 3), theta)
    np.testing.assert_allclose(seen["mass"], [1, 1], rtol=1e-14)
    assert float(seen["angle"]) == pytest.approx(tiny * np.sqrt(0.25 / 2), rel=1e-6)
    assert float(seen["residual"][0]) == pytest.approx(0.25 * tiny, rel=1e-6)


def test_problems_without_teachers_are_refused():
    with pytest.raises(ls.InputError, match="homogeneous activations"):
        matching(ls.teacher_student(np.eye(2), 2, "erf"))


# -- regimes and thresholds --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        slow(lambda m: ls.tied_student(np.eye(2, 4), m), (2, Regime.NONDEGENERATE)),
        slow(lambda m: ls.teacher_student(np.eye(2, 4), m, "abs"), (4, Regime.OVER_PARAMETRISED)),
    ],
    ids=["tied at the teacher's width", "absolute values above it"],
)
def test_descents_show_the_regime_of_their_width(make, expected):
    width, regime = expected
    looks = np.unique(np.concatenate([np.arange(0, 3000, 8), np.geomspace(3000, 12000, 40).astype(int)])).tolist()
    seen = ls.trace(
        make(width), 24, 0, looks=looks, optimiser="flow", tolerance=1e-6, retire=1e-8, budget=12_000, progress=False
    )
    power = fits.exponent(seen.loss, seen.grad_norm, seen.floor)
    rate = fits.rate(seen.time, seen.loss, seen.floor)
    said = verdict(power, rate, seen.loss, seen.grad_norm)
    assert said.regime == regime
    assert said.kappa > 1
    truth = 0.5 if regime == Regime.NONDEGENERATE else 2 / 3
    assert power.slope == pytest.approx(truth, abs=0.02)


def test_the_threshold_is_the_least_loss_of_a_descent_that_fails():
    loss = np.array([[3.0, 1.0, 1e-9], [3.0, 0.5, 0.2], [2.0, 0.3, np.nan], [2.0, 1e-3, 1e-9], [2.0, 1e-3, 1e-7]])
    labels = np.array(["global", "spurious", "saddle", "global", "unconverged"], object)
    found = threshold(loss, labels)
    assert found.loss == 0.2
    assert (found.failing, found.below, found.open) == (2, 2, 1)  # a descent without an end has not failed
    assert found.failing_at_most == pytest.approx(1 - 0.05**0.5)
    alone = threshold(loss[[0, 3]], labels[[0, 3]])
    assert alone.loss == np.inf
    assert alone.failing == 0
