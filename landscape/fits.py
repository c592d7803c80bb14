"""Power laws along descents: gradient norm against loss, and loss against time, with intervals, or "no power law".

Fits are of each descent by itself, on looks whose loss is inside a stated window: above the rounding floor of the loss,
below where the landscape is no longer that of one minimum. The number for many descents is the median. Its interval is
the hull of the 95% intervals of the medians for the whole window and for its upper and lower half, and of the slope
that the next half below would have if the drift went on: a slope that drifts along the window shows as a wide interval,
and not as a sharp wrong number for the limit of small losses.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.records import InputError

LEAST_LOOKS = 8  # in the window, of a descent that is fitted
LEAST_DECADES = 2.0  # of the loss in the window, of a descent that is fitted
FLOOR = 10.0  # a loss below so many rounding errors is not looked at
DRIFT = 0.15  # slopes of the halves that differ by more than this fraction of the whole are no power law
SCATTER = 0.25  # nor are residuals of a logarithm of more than this, root mean square
STEEP = 10.0  # nor a loss that falls like a larger power of time: an exponential is the limit of large ones
OFFSETS = np.geomspace(1e-4, 1e4, 321)  # of time at the top of the window, in units of the window's length


class Window(NamedTuple):
    """Losses between which a law is fitted.

    Attributes:
        low: Least.
        high: Largest.
    """

    low: float = 3e-12
    high: float = 1e-4


class Law(NamedTuple):
    """A law fitted to many descents.

    Attributes:
        name: "power law", "exponential", or "no power law".
        slope: Median slope in the logarithms; of an exponential the median rate, minus d log L / dt. NaN without a fit.
        low: Lower end of its interval.
        high: Upper end of its interval.
        upper_half: Median slope in the upper half of the window, by the logarithm of the loss.
        lower_half: The same of the lower half: nearer to the limit.
        scatter: Median root mean square of the residuals of the fitted logarithm.
        fitted: Number of descents with enough looks in the window.
        share: Fraction of them that are of this law by themselves.
        slopes: Of each descent, [r]; NaN where there are too few looks.
        window: Of the losses.
        reason: One sentence where it is no power law.
    """

    name: str
    slope: float
    low: float
    high: float
    upper_half: float
    lower_half: float
    scatter: float
    fitted: int
    share: float
    slopes: np.ndarray
    window: Window
    reason: str | None

    def as_dict(self) -> dict[str, Any]:
        """For `findings`: numbers and words, without the slopes of single descents; NaN becomes None."""
        said = {name: value for name, value in self._asdict().items() if name not in ("slopes", "window")}
        said = {name: None if isinstance(one, float) and not np.isfinite(one) else one for name, one in said.items()}
        return said | {"window": list(self.window)}


class _Each(NamedTuple):
    """One fit of one descent."""

    slope: float
    upper: float
    lower: float
    scatter: float
    rate: float
    rate_scatter: float


def exponent(
    loss: np.ndarray,
    grad_norm: np.ndarray,
    floor: np.ndarray | float,
    window: Window = Window(),  # noqa: B008
) -> Law:
    """The Lojasiewicz exponent: the slope of log |grad L| against log L.

    Args:
        loss: Loss above the minimum that the descents go to, [r, t]; NaN where it was not looked at.
        grad_norm: Gradient norm, [r, t].
        floor: Rounding error of the loss, [r] or a number.
        window: Losses between which to fit.

    Raises:
        InputError: The shapes differ, or the window is empty.
    """
    inside = _inside(loss, grad_norm, floor, window)
    each = []
    for i in range(len(loss)):
        x, y = np.log(loss[i, inside[i]]), np.log(grad_norm[i, inside[i]])
        each.append(_line(x, y, x) if _enough(x) else None)
    return _law(each, window, timed=False)


def rate(
    time: np.ndarray,
    loss: np.ndarray,
    floor: np.ndarray | float,
    window: Window = Window(),  # noqa: B008
) -> Law:
    """The rate: minus the slope of log L against log (t + s), the origin of time s fitted too.

    A flow does not know when its clock was started: without s the slope of (t - 5)^-3 would be -3 only at late times.
    An exponential is the limit of large s, where t + s hardly grows and its power is large.

    Args:
        time: Of the flow, [r, t].
        loss: Loss above the minimum that the descents go to, [r, t].
        floor: Rounding error of the loss, [r] or a number.
        window: Losses between which to fit.

    Raises:
        InputError: The shapes differ, or the window is empty.
    """
    inside = _inside(loss, time, floor, window)
    each = []
    for i in range(len(loss)):
        t, y = time[i, inside[i]], np.log(loss[i, inside[i]])
        each.append(_shifted(t, y) if _enough(y) and t[-1] > t[0] else None)
    return _law(each, window, timed=True)


def _inside(loss: np.ndarray, other: np.ndarray, floor: np.ndarray | float, window: Window) -> np.ndarray:
    """Which looks are fitted, boolean [r, t]."""
    if loss.shape != other.shape:
        raise InputError(f"losses of shape {loss.shape} and {other.shape} do not belong together.")
    if not 0 < window.low < window.high:
        raise InputError(f"a window of losses needs 0 < low < high, found {window.low} and {window.high}.")
    low = np.maximum(window.low, FLOOR * np.broadcast_to(floor, len(loss)))[:, None]
    with np.errstate(invalid="ignore"):
        return (loss >= low) & (loss <= window.high) & (other > 0) & np.isfinite(other)


def _enough(log_loss: np.ndarray) -> bool:
    return len(log_loss) >= LEAST_LOOKS and bool(np.ptp(log_loss) >= LEAST_DECADES * np.log(10))


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope of the least-squares line, and the root mean square of its residuals."""
    dx, dy = x - x.mean(), y - y.mean()
    size = float(dx @ dx)
    slope = float(dx @ dy) / size if size > 0 else np.nan
    return slope, float(np.sqrt(np.mean((dy - slope * dx) ** 2)))


def _line(x: np.ndarray, y: np.ndarray, log_loss: np.ndarray) -> _Each:
    slope, scatter = _slope(x, y)
    upper, lower = _halves(x, y, log_loss)
    return _Each(slope, upper, lower, scatter, np.nan, np.inf)


def _halves(x: np.ndarray, y: np.ndarray, log_loss: np.ndarray) -> tuple[float, float]:
    """Slopes where the logarithm of the loss is above and below its middle; NaN of fewer than three looks."""
    top = log_loss > 0.5 * (log_loss.max() + log_loss.min())
    upper, lower = (_slope(x[half], y[half])[0] if half.sum() > 2 else np.nan for half in (top, ~top))
    return upper, lower


def _shifted(t: np.ndarray, y: np.ndarray) -> _Each:
    """The best fit of y = a - b log(t - t_0 + s) over the grid of s, refined once between its neighbours."""
    offset = _origin(t, y)
    slope, scatter = _slope(np.log(t - t[0] + offset), y)
    halves = []
    top = y > 0.5 * (y.max() + y.min())
    for half in (top, ~top):  # each with an origin of its own
        s, log_loss = t[half], y[half]
        several = half.sum() >= LEAST_LOOKS / 2 and s[-1] > s[0]
        halves.append(_slope(np.log(s - s[0] + _origin(s, log_loss)), log_loss)[0] if several else np.nan)
    decay, decay_scatter = _slope(t, y)
    return _Each(-slope, -halves[0], -halves[1], scatter, -decay, decay_scatter)


def _origin(t: np.ndarray, y: np.ndarray) -> float:
    """The s for which y is most nearly linear in log(t - t_0 + s)."""
    length = t[-1] - t[0]

    def best_of(offsets: np.ndarray) -> float:
        x = np.log(t - t[0] + length * offsets[:, None])
        dx, dy = x - x.mean(axis=1, keepdims=True), y - y.mean()
        explained = (dx @ dy) ** 2 / np.sum(dx * dx, axis=1)
        return float(offsets[int(np.argmax(explained))])

    best, ratio = best_of(OFFSETS), OFFSETS[1] / OFFSETS[0]
    return length * best_of(np.geomspace(best / ratio, best * ratio, 41))


def _kind(one: _Each, timed: bool) -> str:
    """What one descent is by itself."""
    if timed and one.slope > STEEP:
        return "exponential" if one.rate_scatter < 4 * SCATTER else "no power law"
    drifts = not abs(one.upper - one.lower) <= DRIFT * abs(one.slope)
    return "no power law" if drifts or one.scatter > SCATTER else "power law"


def _law(each: list[_Each | None], window: Window, timed: bool) -> Law:
    """The law of most descents, with the median of their slopes."""
    fitted = [one for one in each if one is not None]
    slopes = np.array([np.nan if one is None else one.slope for one in each])
    if not fitted:
        reason = f"no descent has {LEAST_LOOKS} looks over {LEAST_DECADES:g} decades of the window"
        none = float("nan")
        return Law("no power law", none, none, none, none, none, none, 0, 0.0, slopes, window, reason)
    kinds = [_kind(one, timed) for one in fitted]
    # A descent alone drifts with its own noise; the law is that of most of them, and its drift that of the medians.
    name = max(sorted(set(kinds)), key=kinds.count)
    share = kinds.count(name) / len(kinds)
    scatter = float(np.median([one.scatter for one in fitted]))
    if name == "exponential":
        rates = np.array([one.rate for one in fitted])
        slope, low, high = _median(rates)
        by_itself = np.array([np.nan if one is None else one.rate for one in each])
        scatter = float(np.median([one.rate_scatter for one in fitted]))
        reason = f"the loss falls exponentially: faster than t^-{STEEP:g} from any origin of time"
        return Law(name, slope, low, high, np.nan, np.nan, scatter, len(fitted), share, by_itself, window, reason)
    parts = [np.array([getattr(one, part) for one in fitted]) for part in ("slope", "upper", "lower")]
    medians = [_median(part[np.isfinite(part)]) for part in parts]
    (slope, _, _), (upper, _, _), (lower, _, _) = medians
    further = 2 * lower - upper  # the next half below, if the drift went on
    low, high = min(further, *(one[1] for one in medians)), max(further, *(one[2] for one in medians))
    reason = None
    if name == "no power law":
        reason = f"slopes go from {upper:.3g} to {lower:.3g} along the window, with a scatter of {scatter:.2g}"
    return Law(name, slope, low, high, upper, lower, scatter, len(fitted), share, slopes, window, reason)


def _median(values: np.ndarray) -> tuple[float, float, float]:
    """The median, and a 95% interval of it from order statistics (of the binomial), whatever the distribution."""
    n = len(values)
    if not n:
        return (np.nan, np.nan, np.nan)
    ordered = np.sort(values)
    away = 0.98 * np.sqrt(n)  # 1.96 sqrt(n) / 2
    low, high = int(np.floor((n - 1) / 2 - away)), int(np.ceil((n - 1) / 2 + away))
    return float(np.median(ordered)), float(ordered[max(low, 0)]), float(ordered[min(high, n - 1)])
