"""Ways down: one lane is one restart; `advance` takes it a fixed number of gradients further.

Every method evaluates one gradient a step, whatever it is in the middle of, so that lanes at different stages share one
program and nobody waits. All of it is written for a theta [p], and read with a trailing axis, [p, lanes], for many:
scalars of a lane are then [lanes], and broadcasting does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from landscape.problems.problem import Problem
from landscape.records import InputError

OPTIMISERS = ("gradient-descent", "flow", "lbfgs", "momentum", "nesterov", "adam", "rmsprop")
GradientAt = Callable[[Array], Array]


class Method(NamedTuple):
    """One way down.

    Attributes:
        init: theta -> memory.
        step: (gradient function, theta, memory, step_scale, number of the step in its chunk) -> (theta, memory), with
            one call of the gradient function. theta moves only when a step is accepted.
        dynamics: Whose basins a study with this method reports, in words.
        trailing: Whether theta may be [p, lanes].
        descends: Whether the loss falls along its path wherever it moves, as the argument of `polish` needs.
        noisy: For how many gradients it sees parts of the data only, and where it stands means nothing yet.
        chunk: Gradients between two looks at a lane; a divisor of 120.
        gradient_in: The gradient at theta, from the memory of one who has taken a gradient; None if it is not kept.
    """

    init: Callable[[Array], Any]
    step: Callable[[GradientAt, Array, Any, Array, Array], tuple[Array, Any]]
    dynamics: str
    trailing: bool = True
    descends: bool = True
    noisy: int = 0
    chunk: int = 120
    gradient_in: Callable[[Any], Array] | None = None


class Lane(NamedTuple):
    """One restart on its way down.

    Attributes:
        theta: Coordinates, [p], in the dtype of the descent.
        memory: State of the method.
        step_scale: Multiplies every update; halved each time the restart diverges.
        loss: Loss at theta.
        grad_norm: Euclidean norm of the gradient at theta.
    """

    theta: Float[Array, " p *lanes"]
    memory: Any
    step_scale: Float[Array, " *lanes"]
    loss: Float[Array, " *lanes"]
    grad_norm: Float[Array, " *lanes"]


@lru_cache(maxsize=64)  # the same object for the same settings, so that compiled programs are found again
def method(name: str = "gradient-descent", step_size: float = 0.1, tolerance: float = 1e-2) -> Method:
    """A way down by name.

    Args:
        name: One of `OPTIMISERS`. Plain gradient descent is the default because its basins are the paper's.
            "minibatch:8" is descent on 8 random rows of a data set at a time; see `minibatch`.
        step_size: 0.1 by default (Safran and Shamir 2017); stable while curvature is below 2 / step_size = 20, and
            the curvature at an orthonormal teacher of k neurons is about k/4 + 0.85. "flow" and "lbfgs" choose their
            own.
        tolerance: Of "flow" only: largest estimated local error of a step, Euclidean.

    Raises:
        InputError: The name is unknown, or a number is not positive.
    """
    for what, value in (("step_size", step_size), ("tolerance", tolerance)):
        if not 0 < value < float("inf"):
            raise InputError(f"{what} must be a positive number, found {value}.")
    made = {
        "gradient-descent": lambda: gradient_descent(step_size),
        "flow": lambda: flow(tolerance),
        "lbfgs": lbfgs,
        "momentum": lambda: from_optax(optax.sgd(step_size, momentum=0.9), f"momentum 0.9, step {step_size:g}"),
        "nesterov": lambda: from_optax(
            optax.sgd(step_size, momentum=0.9, nesterov=True), f"Nesterov momentum 0.9, step {step_size:g}"
        ),
        "adam": lambda: from_optax(optax.adam(step_size), f"Adam, step {step_size:g}"),
        "rmsprop": lambda: from_optax(optax.rmsprop(step_size), f"RMSProp, step {step_size:g}"),
    }
    kind, _, size = name.partition(":")
    if kind == "minibatch" and size.isdigit() and int(size) > 0:
        return minibatch(step_size, int(size))
    if name not in made:
        raise InputError(
            f"optimiser {name!r} is unknown; known are {', '.join(OPTIMISERS)}, and minibatch:8 (or another number of "
            "rows) for data sets; from Python, any optax one."
        )
    return made[name]()


def gradient_descent(step_size: float) -> Method:
    """theta <- theta - step_size * gradient."""

    def step(gradient: GradientAt, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        return theta - (step_size * step_scale) * gradient(theta), memory

    return Method(lambda theta: (), step, f"gradient descent, step {step_size:g}")


MINIBATCH_STEPS = 9600  # noisy ones, hundreds of times 1 / curvature at our step sizes; then all rows, to an end


def minibatch(step_size: float, size: int) -> Method:
    """Descent on `size` rows at a time, drawn anew at each step without replacement, and later on all rows.

    With noise it would come to no end: after MINIBATCH_STEPS it goes on as plain descent. The draws of a restart follow
    from where it starts, so that it goes the same way in any lane.
    """

    def init(theta: Array) -> tuple[Array, Array]:
        seed = jax.lax.bitcast_convert_type(jnp.sum(theta).astype(jnp.float32), jnp.uint32)
        return jnp.stack([seed, jnp.uint32(0)]), jnp.zeros((), jnp.int32)

    def step(gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        seed, count = memory
        key = jax.random.fold_in(jax.random.wrap_key_data(seed, impl="threefry2x32"), count)
        rows = jnp.where(count < MINIBATCH_STEPS, size, jnp.iinfo(jnp.int32).max)
        return theta - step_size * step_scale * gradient.some(theta, key, rows), (seed, count + 1)

    dynamics = f"{MINIBATCH_STEPS} steps on {size} rows at a time, then descent on all, step {step_size:g}"
    return Method(init, step, dynamics, trailing=False, descends=False, noisy=MINIBATCH_STEPS)


def from_optax(transformation: optax.GradientTransformation, dynamics: str = "an optax optimiser") -> Method:
    """Any optax optimiser. Line searches of its own cost gradients that are not counted."""
    extended = optax.with_extra_args_support(transformation)

    def step(gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        grad, value = gradient(theta), gradient.loss
        # `value` is dead code, and removed, for optimisers that do not look at it.
        updates, memory = extended.update(grad, memory, theta, value=value(theta), grad=grad, value_fn=value)
        return theta + step_scale * jnp.asarray(updates), memory

    return Method(extended.init, step, dynamics, trailing=False, descends=False)


def init(
    problem: Problem, method: Method, theta: Float[Array, " p *lanes"], step_scale: Float[Array, " *lanes"]
) -> Lane:
    """A lane at the start of its descent; loss and gradient norm are not evaluated yet."""
    inf = jnp.full(theta.shape[1:], jnp.inf, theta.dtype)
    return Lane(theta, method.init(theta), jnp.asarray(step_scale, theta.dtype), loss=inf, grad_norm=inf)


class _Gradient:
    """The gradient of a problem at theta [p] or [p, lanes], with its loss at hand for the optimisers that ask."""

    def __init__(self, problem: Problem, trailing: bool):
        self.loss = jax.vmap(problem.loss, in_axes=-1) if trailing else problem.loss
        self.at = problem.gradient_lanes if trailing else partial(_gradient, problem)

        self.problem = problem

    def __call__(self, theta: Array) -> Array:
        return self.at(theta)

    def some(self, theta: Array, key: Array, size: Array) -> Array:
        """The gradient of so many random rows (all, if there are no more), weighted to be that of all on average."""
        problem: Any = self.problem
        if not hasattr(problem, "weighted_gradient"):
            raise InputError("mini-batches need a data set; this loss is an expectation, or of unknown parts.")
        n = problem.y.shape[0]
        order = jnp.argsort(jax.random.uniform(key, (n,)))
        weights = jnp.where(order < size, n / jnp.minimum(size, n), 0.0).astype(theta.dtype)
        return problem.weighted_gradient(theta, weights)


@jax.custom_batching.custom_vmap
def _gradient(problem: Problem, theta: Array) -> Array:
    return problem.gradient(theta)


@_gradient.def_vmap
def _gradients(size: int, batched: Any, problem: Problem, theta: Array) -> tuple[Array, bool]:
    """Under `vmap` the lanes are rows, and a problem has its own way with many rows. Nothing differentiates this."""
    return problem.gradients(theta), True


def advance(problem: Problem, method: Method, lane: Lane, steps: int) -> Lane:
    """The lane `steps` gradients later, with its loss and gradient norm there.

    Pure, and lanes cannot see each other, so a restart's path does not depend on its batch. A lane that diverges
    carries inf or NaN in its own numbers and nobody else's.
    """
    gradient = _Gradient(problem, lane.theta.ndim == 2)

    def step(number: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        return method.step(gradient, *carry, lane.step_scale, number)

    theta, memory = jax.lax.fori_loop(0, steps, step, (lane.theta, lane.memory))
    last = gradient(theta) if method.gradient_in is None else method.gradient_in(memory)
    return Lane(theta, memory, lane.step_scale, loss=gradient.loss(theta), grad_norm=_norm(last))


def _dot(a: Array, b: Array) -> Array:
    return jnp.sum(a * b, axis=0)


def _norm(a: Array) -> Array:
    return jnp.sqrt(_dot(a, a))


# -- the gradient flow -------------------------------------------------------------------------------------------------

STAGES = 30  # most gradients a step: it is then 100 times as long as a stable step of gradient descent
POWER_EVERY = 4  # steps between two looks at the largest curvature
PROBE = 1e-5  # length of the finite difference of that look, in units of theta


class _Flow(NamedTuple):
    """A step of the flow from theta, in the middle: stage Y_j = theta + now.

    Attributes:
        gradient: At theta.
        now: Y_j - theta.
        before: Y_{j-1} - theta.
        steep: Direction of the largest curvature, any length.
        size: That length.
        length: h, of the step in flow time.
        stages: s, gradients of this step.
        stage: j; 0 while the largest curvature is looked at, -1 before the first gradient.
        curvature: The largest, as last seen.
        since: Steps since then.
        error: Estimated error of the last accepted step over the tolerance.
    """

    gradient: Float[Array, " p *lanes"]
    now: Float[Array, " p *lanes"]
    before: Float[Array, " p *lanes"]
    steep: Float[Array, " p *lanes"]
    size: Float[Array, " *lanes"]
    length: Float[Array, " *lanes"]
    stages: Int[Array, " *lanes"]
    stage: Int[Array, " *lanes"]
    curvature: Float[Array, " *lanes"]
    since: Int[Array, " *lanes"]
    error: Float[Array, " *lanes"]


@lru_cache(maxsize=1)
def _chebyshev() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [4, s, j] of stage j of the method of s stages (mu, nu, mu~, gamma~), and its stable length [s].

    Sommeijer, Shampine and Verwer 1998, section 2, with their damping 2/13.
    """
    c = np.zeros((4, STAGES + 1, STAGES + 1))
    stable = np.zeros(STAGES + 1)
    for s in range(2, STAGES + 1):
        w0 = 1 + 2 / (13 * s * s)
        t, d1, d2 = [1.0, w0], [0.0, 1.0], [0.0, 0.0]  # T_j, T_j', T_j'' at w0
        for _ in range(2, s + 1):
            d2.append(4 * d1[-1] + 2 * w0 * d2[-1] - d2[-2])
            d1.append(2 * t[-1] + 2 * w0 * d1[-1] - d1[-2])
            t.append(2 * w0 * t[-1] - t[-2])
        w1 = d1[s] / d2[s]
        b = [0.0, 0.0] + [d2[j] / d1[j] ** 2 for j in range(2, s + 1)]
        b[0] = b[1] = b[2]
        c[2, s, 1] = b[1] * w1
        for j in range(2, s + 1):
            c[0, s, j], c[1, s, j], c[2, s, j] = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
            c[3, s, j] = -(1 - b[j - 1] * t[j - 1]) * c[2, s, j]
        stable[s] = (w0 + 1) * d2[s] / d1[s]
    return c, stable


def flow(tolerance: float) -> Method:
    """The gradient flow d theta / dt = -gradient, by second-order Runge-Kutta-Chebyshev steps with error control.

    A step of s gradients is stable up to a length that grows like 0.65 s^2 over the largest curvature, where s steps of
    descent reach 2 s. Length and s are chosen for each lane and each step: the length by the embedded error estimate
    (Sommeijer, Shampine and Verwer 1998, with their predictor), s as small as is stable there. The largest curvature
    comes from a power iteration on gradient differences, one gradient every few steps.

    Args:
        tolerance: Largest estimated local error of a step, Euclidean.
    """
    coefficients, stable = _chebyshev()

    def start(theta: Array) -> _Flow:
        zero, one = jnp.zeros_like(theta), jnp.ones(theta.shape[1:], theta.dtype)
        whole = jnp.zeros(theta.shape[1:], jnp.int32)
        # The first length is far too short anywhere; it may grow fivefold a step.
        return _Flow(zero, zero, zero, zero, one, 1e-3 * one, whole + 2, whole - 1, one, whole, one)

    def step(gradient: GradientAt, theta: Array, m: _Flow, step_scale: Array, number: Array) -> tuple[Array, _Flow]:
        first, looking, last = m.stage == -1, m.stage == 0, m.stage == m.stages
        between = (m.stage > 0) & ~last
        probe = PROBE / jnp.maximum(m.size, jnp.finfo(theta.dtype).tiny)
        g = gradient(theta + jnp.where(first, 0.0, jnp.where(looking, probe * m.steep, m.now)))

        # After the last stage the error estimate, after a look how the gradient turned: one norm serves both.
        error = 0.8 * m.now + 0.4 * m.length * (m.gradient + g)
        turned = jnp.where(first, g, g - m.gradient)
        norm = _norm(jnp.where(last, error, turned))
        error = norm / (tolerance * step_scale)
        finite = jnp.isfinite(error)
        taken = last & finite & (error <= 1.0)
        refused = last & ~taken
        floor = jnp.maximum(error, 1e-4)
        factor = 0.8 / jnp.cbrt(floor)
        growth = jnp.clip(jnp.minimum(factor, factor * jnp.cbrt(m.error / floor)), 0.2, 5.0)
        factor = jnp.where(taken, growth, jnp.where(finite, jnp.clip(factor, 0.1, 0.7), 0.1))
        length = jnp.where(last, m.length * factor, m.length)
        theta = jnp.where(taken, theta + m.now, theta)
        base = jnp.where(taken | first, g, m.gradient)

        # The largest curvature: looked at before the first step, every few steps, and after a refusal.
        curvature = jnp.where(looking, jnp.maximum(norm / PROBE, 1e-3), m.curvature)
        looked = looking | first
        steep, size = jnp.where(looked, turned, m.steep), jnp.where(looked, norm, m.size)
        since = jnp.where(looking, 0, jnp.where(taken, m.since + 1, m.since))
        look = first | refused | (last & (since >= POWER_EVERY))

        # The next stage, of this step or of the one that begins. The power iteration approaches from below: 1.1.
        begins = looking | (last & ~look)
        steepest = 1.1 * curvature
        length = jnp.where(begins, jnp.minimum(length, 0.95 * float(stable[STAGES]) / steepest), length)
        needed = 1 + jnp.ceil(jnp.sqrt(1 + 1.54 * length * steepest)).astype(jnp.int32)
        stages = jnp.where(begins, jnp.clip(needed, 2, STAGES), m.stages)
        following = jnp.minimum(m.stage + 1, STAGES)
        mu, nu, mu_g, gamma = (jnp.asarray(c, theta.dtype)[m.stages, following] for c in coefficients)
        begun = -length * jnp.asarray(coefficients[2, :, 1], theta.dtype)[stages] * base
        staged = mu * m.now + nu * m.before - m.length * (mu_g * g + gamma * m.gradient)
        now = jnp.where(begins, begun, jnp.where(between, staged, m.now))
        before = jnp.where(begins, 0.0, jnp.where(between, m.now, m.before))
        stage = jnp.where(look, 0, jnp.where(begins, 1, m.stage + 1))
        error = jnp.where(taken, floor, m.error)
        return theta, _Flow(base, now, before, steep, size, length, stages, stage, curvature, since, error)

    return Method(start, step, f"the gradient flow, local error {tolerance:g}", gradient_in=lambda m: m.gradient)


# -- L-BFGS ------------------------------------------------------------------------------------------------------------

PAIRS = 6  # of steps and gradient changes that are remembered
TRIALS = 12  # of one line search, before the memory is forgotten


class _Lbfgs(NamedTuple):
    """A line search from theta along `direction`, in the middle.

    Attributes:
        gradient: At theta.
        direction: Of the search.
        slope: Of the loss along it at theta; 0 before the first gradient.
        trial: Length that is tried next.
        low: A length at which the loss still falls steeply.
        low_slope: The slope there.
        high: A length at which it rises; inf while none is known.
        high_slope: The slope there.
        tried: Trials so far.
        steps: Remembered theta changes, [pairs, p].
        changes: Gradient changes.
        weights: 1 / (step . change); 0 for a place that holds none.
        curvature: change . change / step . change of the newest pair.
    """

    gradient: Float[Array, " p *lanes"]
    direction: Float[Array, " p *lanes"]
    slope: Float[Array, " *lanes"]
    trial: Float[Array, " *lanes"]
    low: Float[Array, " *lanes"]
    low_slope: Float[Array, " *lanes"]
    high: Float[Array, " *lanes"]
    high_slope: Float[Array, " *lanes"]
    tried: Int[Array, " *lanes"]
    steps: Float[Array, " pairs p *lanes"]
    changes: Float[Array, " pairs p *lanes"]
    weights: Float[Array, " pairs *lanes"]
    curvature: Float[Array, " *lanes"]


def lbfgs(first: float = 0.1, longest: float = 1.0) -> Method:
    """L-BFGS (Liu and Nocedal 1989) whose line search looks at slopes only.

    A length is taken when the slope there is at most 0.9 of the first one in size: the curvature condition and the
    approximate Wolfe condition of Hager and Zhang (2005) with delta = 0.05. Loss differences drown in rounding at
    gradient norms near 1e-8, slopes do not. Every gradient is one place in the ring of pairs, the same place in all
    lanes; a gradient that ends no search leaves its place empty.

    Args:
        first: Length of the very first trial step.
        longest: No step is longer, Euclidean.
    """

    def start(theta: Array) -> _Lbfgs:
        zero, one = jnp.zeros_like(theta), jnp.ones(theta.shape[1:], theta.dtype)
        ring = jnp.zeros((PAIRS, *theta.shape), theta.dtype)
        none = 0 * one
        return _Lbfgs(
            zero, zero, none, none, none, none, jnp.inf * one, none, jnp.zeros(one.shape, jnp.int32),
            ring, ring, jnp.zeros((PAIRS, *one.shape), theta.dtype), one,
        )  # fmt: skip

    def step(gradient: GradientAt, theta: Array, m: _Lbfgs, step_scale: Array, number: Array) -> tuple[Array, _Lbfgs]:
        moved = m.trial * m.direction
        g = gradient(theta + moved)
        slope = _dot(g, m.direction)
        fresh = m.slope == 0.0
        gentle = jnp.abs(slope) <= -0.9 * m.slope
        given_up = ~gentle & (m.tried >= TRIALS)  # keep the best length known to fall, and forget the memory
        taken = fresh | gentle
        change = g - m.gradient
        curved = _dot(moved, change)
        holds = gentle & ~fresh & (curved > 0)

        place = number % PAIRS
        put = jax.lax.dynamic_update_index_in_dim
        steps, changes = put(m.steps, moved, place, 0), put(m.changes, change, place, 0)
        weight = jnp.where(holds, 1.0 / jnp.where(holds, curved, 1.0), 0.0)
        weights = jnp.where(given_up, 0.0, put(m.weights, weight, place, 0))
        curvature = jnp.where(holds, _dot(change, change) * weight, m.curvature)

        theta = jnp.where(taken, theta + moved, theta)
        base = jnp.where(taken, g, m.gradient)
        starts = taken | given_up
        direction = jnp.where(starts, -_two_loops(base, steps, changes, weights, curvature, place), m.direction)
        bare = jnp.all(weights == 0.0, axis=0)
        size = _norm(direction)
        # Without a pair the direction is the gradient itself and knows no length.
        unit = step_scale / jnp.maximum(size, jnp.finfo(theta.dtype).tiny)
        length = jnp.minimum(jnp.where(bare, first * unit, 1.0), longest * unit)

        # Within a search: a bracket of slopes, narrowed by the secant, kept away from its ends.
        falls = slope < 0
        low, low_slope = jnp.where(falls, m.trial, m.low), jnp.where(falls, slope, m.low_slope)
        high, high_slope = jnp.where(falls, m.high, m.trial), jnp.where(falls, m.high_slope, slope)
        inside = low + (high - low) * jnp.clip(low_slope / (low_slope - high_slope), 0.1, 0.9)
        bracketed = jnp.isfinite(high) & jnp.isfinite(slope)
        inside = jnp.where(jnp.isfinite(slope), inside, 0.5 * (low + m.trial))
        searched = jnp.where(bracketed | ~jnp.isfinite(slope), inside, 2.0 * m.trial)
        high = jnp.where(jnp.isfinite(slope), high, m.trial)

        new_slope = _dot(base, direction)
        none = jnp.zeros_like(slope)
        return theta, _Lbfgs(
            gradient=base,
            direction=direction,
            slope=jnp.where(starts, new_slope, m.slope),
            trial=jnp.where(starts, length, searched),
            low=jnp.where(starts, none, low),
            low_slope=jnp.where(starts, new_slope, low_slope),
            high=jnp.where(starts, jnp.inf, high),
            high_slope=jnp.where(starts, none, high_slope),
            tried=jnp.where(starts, 0, m.tried + 1),
            steps=steps,
            changes=changes,
            weights=weights,
            curvature=curvature,
        )

    # The chunk is a multiple of the ring; most restarts need some 200 gradients.
    return Method(
        start, step, "L-BFGS with a slope line search", descends=False, chunk=30, gradient_in=lambda m: m.gradient
    )


def _two_loops(g: Array, steps: Array, changes: Array, weights: Array, curvature: Array, newest: Array) -> Array:
    """The inverse Hessian of L-BFGS times g; places with weight 0 are passed over."""
    order = [(newest - i) % PAIRS for i in range(PAIRS)]
    alphas = []
    for i in order:
        alphas.append(weights[i] * _dot(steps[i], g))
        g = g - alphas[-1] * changes[i]
    g = g / curvature
    for i, alpha in zip(order[::-1], alphas[::-1], strict=True):
        g = g + (alpha - weights[i] * _dot(changes[i], g)) * steps[i]
    return g
