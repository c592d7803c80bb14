"""Activations: one record each, with everything that the package knows of it. A new activation is a new record here.

A record answers four questions. On finite data: the values s, s', s'' and how rounding in z reaches s(z). Over Gaussian
inputs: the moment E s(u.x) s(v.x) in closed form, and its rounding. In theory: parity, homogeneity, and what the
population loss sees of a set of neurons (`problems.zero_set`). Fields that an activation has no answer to are None, and
what needs them refuses the activation in one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.problems import zero_set
from landscape.records import one_of, real

Scalar = Callable[[Array], Array]  # elementwise
Sizes = Callable[[np.ndarray, np.ndarray], np.ndarray]  # of a = |u|^2 and b = |v|^2


class Partials(NamedTuple):
    """A moment as a function of a = |u|^2, b = |v|^2, c = u.v, and its partial derivatives, each [m, q].

    Made from a, b, c and g = a b - c^2, which is not independent but more accurate than its formula.
    """

    value: Array
    a: Array
    c: Array
    aa: Array
    ab: Array
    ac: Array
    bc: Array
    cc: Array


@dataclass(frozen=True)
class Gaussian:
    """What is known of an activation over Gaussian inputs.

    Attributes:
        gap: (student [n, d], teacher [k, d]) -> distance from the exact zero set, in units of the lightest teacher.
        anchors: teacher [k, d] -> vectors and colours whose symmetries are those of the loss.
        size: Largest value of a moment, of a and b.
        lost: What cancellation in the closed form loses beside that, in the same roundings.
        partials: The moment with its derivatives, of a, b, c and g; None for homogeneous activations, whose moment is
            the arc-cosine kernel of `gaussian`.
        coercive: Whether the loss grows without bound with the student.
    """

    gap: Callable[[np.ndarray, np.ndarray], float]
    anchors: Callable[[np.ndarray], zero_set.Anchors]
    size: Sizes
    lost: Sizes
    partials: Callable[[Array, Array, Array, Array], Partials] | None = None
    coercive: bool = False


class Series(NamedTuple):
    """What powers of z an analytic activation is made of: a polynomial, and a rest of infinitely many powers.

    Attributes:
        powers: Powers with a non-zero coefficient in the polynomial, ascending.
        rest: Parity of the rest, "even" or "odd", of which infinitely many Taylor coefficients at 0 are not zero; ""
            for a polynomial activation. Beside a rest the polynomial has no power above 1 and the other parity.
    """

    powers: tuple[int, ...]
    rest: str = ""


@dataclass(frozen=True)
class Activation:
    """An activation s(z) with its facts. Hashable: a new one recompiles, new weights do not.

    Attributes:
        name: One of `ACTIVATIONS`.
        s: s(z), elementwise, in JAX.
        d1: s'(z); at a kink the inactive side, as the frameworks have it.
        d2: s''(z); zero at a kink.
        slope: Slope on the negative side, of `leaky_relu` only.
        odd_and_even: (odd, even) of s(z) = odd z + even |z|; None for activations that are not homogeneous.
        even: Whether s(-z) = s(z), so that the sign of a neuron does not matter.
        reach: |z| -> a bound on |s| and on |z s'| up to there: what a relative rounding of z moves, at `order` 1.
        order: How many times the relative rounding of z a value of s has.
        series: Powers of z that s is made of; None where that is not known, or s has a kink.
        gaussian: What is known over Gaussian inputs; None where moments have no closed form here.
    """

    name: str
    s: Scalar
    d1: Scalar
    d2: Scalar
    slope: float = 0.0
    odd_and_even: tuple[float, float] | None = None
    even: bool = False
    reach: Callable[[np.ndarray], np.ndarray] = lambda size: 1.2 * size + 1.0
    order: int = 1
    series: Series | None = None
    gaussian: Gaussian | None = None

    @property
    def homogeneous(self) -> bool:
        """Whether s(z) = odd z + even |z|, so that s(r z) = r s(z) for r > 0."""
        return self.odd_and_even is not None

    @property
    def parts(self) -> tuple[float, float]:
        """(odd, even) of a homogeneous activation.

        Raises:
            ValueError: The activation is not homogeneous.
        """
        if self.odd_and_even is None:
            raise ValueError(f"{self} is not homogeneous.")
        return self.odd_and_even

    @property
    def over_gaussian(self) -> Gaussian:
        """What is known over Gaussian inputs.

        Raises:
            ValueError: Nothing is.
        """
        if self.gaussian is None:
            raise ValueError(f"{self} has no moments in closed form.")
        return self.gaussian

    @property
    def arc_and_linear(self) -> tuple[float, float]:
        """(p, q) such that E s(u.x) s(v.x) = p E relu(u.x) relu(v.x) + q u.v: E|u.x||v.x| = 4 E relu relu - u.v."""
        odd, even = self.parts
        return 4 * even * even, odd * odd - even * even

    @property
    def kinked(self) -> bool:
        """Whether s has a kink at 0, so that a loss over Gaussian inputs has a cone at a zero neuron."""
        return self.odd_and_even is not None and self.odd_and_even[1] != 0.0

    def __hash__(self) -> int:
        return hash((self.name, self.slope))

    def __fingerprint__(self) -> str:
        return f"{self.name}:{self.slope.hex()}"

    def __reduce__(self) -> Any:
        return activation, (self.name, self.slope)  # functions do not travel between processes; names do

    def __str__(self) -> str:
        return f"leaky_relu({self.slope:g})" if self.name == "leaky_relu" else self.name


# -- moments in closed form --------------------------------------------------------------------------------------------


def _quadratic_partials(a: Array, b: Array, c: Array, g: Array) -> Partials:
    """a b + 2 c^2 (Isserlis)."""
    zero, one = jnp.zeros_like(c), jnp.ones_like(c)
    return Partials(a * b + 2 * c * c, b * one, 4 * c, zero, one, zero, zero, 4 * one)


def _erf_partials(a: Array, b: Array, c: Array, g: Array) -> Partials:
    """(2 / pi) arcsin(2 c / sqrt((1 + 2a)(1 + 2b))) (Williams 1998), for s(z) = erf(z)."""
    aa, bb = 1 + 2 * a, 1 + 2 * b
    d = 1 + 2 * a + 2 * b + 4 * g  # (1 + 2a)(1 + 2b) - 4 c^2
    root = jnp.sqrt(d)
    cube = 4 / (np.pi * d * root)
    return Partials(
        value=2 / np.pi * jnp.arctan2(2 * c, root),
        a=-4 * c / (np.pi * aa * root),
        c=4 / (np.pi * root),
        aa=c * (8 / (np.pi * aa * aa * root) + cube * bb / aa),
        ab=c * cube,
        ac=-bb * cube,
        bc=-aa * cube,
        cc=4 * c * cube,
    )


def _gelu_partials(a: Array, b: Array, c: Array, g: Array) -> Partials:
    """E gelu gelu with gelu(z) = z Phi(z), by Price's theorem; A = 1 + a, B = 1 + b, D = A B - c^2.

    value = c/4 + c asin(c / sqrt(A B)) / (2 pi) + N / (2 pi sqrt(D)),  N = a b - c^2 + c^2/A + c^2/B.
    Derivatives of N D^(-1/2) by the product rule, N and D being polynomials in c and rational in a and b.
    """
    aa, bb = 1 + a, 1 + b
    d = 1 + a + b + g
    r1 = 1 / jnp.sqrt(d)
    r3, r5 = r1 / d, r1 / (d * d)
    c2 = c * c
    n = g + c2 / aa + c2 / bb
    n_a, n_b, n_c = b - c2 / aa**2, a - c2 / bb**2, 2 * c * (1 / aa + 1 / bb - 1)
    n_aa, n_ac, n_bc, n_cc = 2 * c2 / aa**3, -2 * c / aa**2, -2 * c / bb**2, 2 * (1 / aa + 1 / bb - 1)
    d_a, d_b, d_c = bb, aa, -2 * c

    def second(nxy, nx, ny, dx, dy, dxy):
        """d2/dxdy of N D^(-1/2)."""
        return nxy * r1 - 0.5 * (nx * dy + ny * dx + n * dxy) * r3 + 0.75 * n * dx * dy * r5

    angle = jnp.arctan2(c, jnp.sqrt(d))  # asin(c / sqrt(A B)); derivatives: 1/sqrt(D) in c, -c/(2 A sqrt(D)) in a
    tau = 2 * np.pi
    return Partials(
        value=c / 4 + (c * angle + n * r1) / tau,
        a=(-c2 * r1 / (2 * aa) + n_a * r1 - 0.5 * n * d_a * r3) / tau,
        c=0.25 + (angle + c * r1 + n_c * r1 - 0.5 * n * d_c * r3) / tau,
        aa=(c2 * (r1 / (2 * aa * aa) + bb * r3 / (4 * aa)) + second(n_aa, n_a, n_a, d_a, d_a, 0.0)) / tau,
        ab=(c2 * r3 / 4 + second(1.0, n_a, n_b, d_a, d_b, 1.0)) / tau,
        ac=(-(c * r1 + 0.5 * c * c2 * r3) / aa + second(n_ac, n_a, n_c, d_a, d_c, 0.0)) / tau,
        bc=(-(c * r1 + 0.5 * c * c2 * r3) / bb + second(n_bc, n_b, n_c, d_b, d_c, 0.0)) / tau,
        cc=(2 * r1 + c2 * r3 + second(n_cc, n_c, n_c, d_c, d_c, -2.0)) / tau,
    )


# -- the table ---------------------------------------------------------------------------------------------------------


def _nothing_lost(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.zeros(np.broadcast(a, b).shape)


def _root(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(a * b)


@lru_cache(maxsize=256)  # one object a slope, so that compiled programs are found again
def _homogeneous(name: str, odd: float, even: float, slope: float = 0.0) -> Activation:
    """odd z + even |z|: slopes odd + even and odd - even on the two sides."""
    high, low = odd + even, odd - even
    size = 2 * even * even + abs(odd * odd - even * even)

    def gap(w: np.ndarray, v: np.ndarray) -> float:
        return max(zero_set.sum_gap(w, v) if odd else 0.0, zero_set.line_gap(w, v) if even else 0.0)

    return Activation(
        name=name,
        s=lambda z: jnp.where(z > 0, high, low) * z,
        d1=lambda z: jnp.where(z > 0, high, low).astype(z.dtype),
        d2=jnp.zeros_like,
        slope=slope,
        odd_and_even=(odd, even),
        even=odd == 0.0,
        reach=lambda z: z * max(1.0, abs(slope)),
        series=Series((1,)) if even == 0.0 else None,
        gaussian=Gaussian(
            gap=gap,
            anchors=partial(zero_set.homogeneous_anchors, odd=odd, even=even),
            size=lambda a, b: size * np.sqrt(a * b),
            lost=_nothing_lost,
            coercive=even != 0.0,
        ),
    )


def _smooth(name: str, s: Scalar, **facts: Any) -> Activation:
    """An activation with automatic derivatives."""
    return Activation(name, s, jnp.vectorize(jax.grad(s)), jnp.vectorize(jax.grad(jax.grad(s))), **facts)


def _leaky(slope: float) -> Activation:
    return _homogeneous("leaky_relu", (1 + slope) / 2, (1 - slope) / 2, slope)


RELU = _homogeneous("relu", 0.5, 0.5)

_TABLE: dict[str, Callable[[float], Activation]] = {
    "relu": lambda _: RELU,
    "leaky_relu": _leaky,
} | {
    one.name: (lambda _, one=one: one)
    for one in (
        _homogeneous("abs", 0.0, 1.0),
        _homogeneous("linear", 1.0, 0.0),
        _smooth(
            "quadratic",
            jnp.square,
            even=True,
            reach=np.square,
            order=2,
            series=Series((2,)),
            gaussian=Gaussian(
                gap=zero_set.second_moment_gap,
                anchors=zero_set.second_moment_anchors,
                size=lambda a, b: 3 * a * b,
                lost=_nothing_lost,
                partials=_quadratic_partials,
                coercive=True,
            ),
        ),
        _smooth(
            "erf",
            jax.scipy.special.erf,
            series=Series((), "odd"),
            gaussian=Gaussian(
                gap=partial(zero_set.ridge_gap, odd=True),
                anchors=zero_set.signed_anchors,
                size=lambda a, b: np.minimum(1.0, 2 * np.sqrt(a * b)),
                # (1 + 2a)(1 + 2b) - 4 c^2 loses eps (1 + a)(1 + b) where long neurons are nearly parallel.
                lost=lambda a, b: np.sqrt(a * b / (1 + a + b)),
                partials=_erf_partials,
            ),
        ),
        _smooth(
            "gelu",
            partial(jax.nn.gelu, approximate=False),
            series=Series((1,), "even"),  # z / 2 + z erf(z / sqrt 2) / 2
            gaussian=Gaussian(
                gap=lambda w, v: max(zero_set.sum_gap(w, v), zero_set.ridge_gap(w, v, odd=False)),
                anchors=zero_set.unsigned_anchors,
                size=_root,
                lost=lambda a, b: a * b / np.sqrt(1 + a + b),
                partials=_gelu_partials,
                coercive=True,
            ),
        ),
        _smooth("tanh", jnp.tanh, series=Series((), "odd")),
        _smooth("softplus", jax.nn.softplus, series=Series((1,), "even")),  # z / 2 + log(2 cosh(z / 2))
        _smooth("sigmoid", jax.nn.sigmoid, series=Series((0,), "odd")),  # 1/2 + tanh(z / 2) / 2
    )
}

ACTIVATIONS = tuple(_TABLE)
GAUSSIAN = tuple(name for name, make in _TABLE.items() if make(0.0).gaussian is not None)  # with moments in closed form


def activation(name: str | Activation, slope: float = 0.01) -> Activation:
    """The activation of that name.

    Args:
        name: One of `ACTIVATIONS`: relu, leaky_relu, abs, linear, quadratic (z^2), erf (erf(z)), gelu (z Phi(z)), tanh,
            softplus, sigmoid.
        slope: Slope of `leaky_relu` on the negative side. Default 0.01, as in the deep-learning frameworks.

    Raises:
        InputError: The name is unknown or the slope is not finite.
    """
    if isinstance(name, Activation):
        return name
    return _TABLE[one_of("activation", name, ACTIVATIONS)](real("the slope of leaky_relu", slope))
