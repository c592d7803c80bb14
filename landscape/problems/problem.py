"""What a landscape is: pure functions of one flat vector theta, a chart that reads it, and the facts known about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from landscape.problems.symmetry import Symmetry
from landscape.records import InputError, LowerBound


class Problem(Protocol):
    """A loss over theta [p]. Implementations are registered as pytrees: arrays are data, facts are static.

    Attributes:
        kind: Name of the family, e.g. "teacher_student".
        p: Number of coordinates of theta.
        width: Number of neurons, None where there are none to speak of.
        normalisation: What the loss value means, in a formula; stored with every loss.
        scale: Length unit of theta; tolerances are multiples of it.
        gradient_scale: Unit of the gradient, alike: its size where theta is off by about `scale`.
        lower_bound: A number that no loss lies below, None if none is known.
        symmetry: The group that leaves the loss unchanged, a map to canonical points, or None.
        coercive: Whether the loss is known to grow without bound with theta: then nothing is lost at infinity.
        kinked: Whether descents may end where the gradient jumps. Then no small gradient is waited for, and they are
            finished and labelled by the problem's room (`classify.ends`) instead of by Newton steps and a spectrum.
    """

    @property
    def kind(self) -> str:
        """Name of the family."""
        ...

    @property
    def p(self) -> int:
        """Number of coordinates of theta."""
        ...

    @property
    def width(self) -> int | None:
        """Number of neurons."""
        ...

    @property
    def normalisation(self) -> str:
        """What the loss value means."""
        ...

    @property
    def scale(self) -> float:
        """Length unit of theta."""
        ...

    @property
    def gradient_scale(self) -> float:
        """Unit of the gradient."""
        ...

    @property
    def lower_bound(self) -> LowerBound | None:
        """A number that no loss lies below."""
        ...

    @property
    def symmetry(self) -> Symmetry | Callable[[np.ndarray], np.ndarray] | None:
        """What leaves the loss unchanged."""
        ...

    @property
    def coercive(self) -> bool:
        """Whether the loss is known to grow without bound."""
        ...

    @property
    def kinked(self) -> bool:
        """Whether descents may end where the gradient jumps."""
        ...

    def loss(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """The loss."""
        ...

    def gradient(self, theta: Float[Array, " p"]) -> Float[Array, " p"]:
        """The gradient of the loss."""
        ...

    def hessian(self, theta: Float[Array, " p"]) -> Float[Array, "p p"]:
        """The Hessian of the loss."""
        ...

    def gradients(self, theta: Float[Array, "lanes p"]) -> Float[Array, "lanes p"]:
        """The gradients at many theta, each a row."""
        ...

    @property
    def trailing(self) -> bool:
        """Whether the driver should keep lanes on the last axis, and call `gradient_lanes`."""
        ...

    @property
    def block(self) -> int:
        """How many lanes are best computed together on a CPU."""
        ...

    def gradient_lanes(self, theta: Float[Array, "p lanes"]) -> Float[Array, "p lanes"]:
        """The gradients at many theta, each a column; only called where `trailing`."""
        ...

    def kinks(self, theta: Float[Array, " p"]) -> Float[Array, " m"]:
        """Signed distances to the surfaces where the gradient jumps; m = 0 where the loss is smooth."""
        ...

    def defaults(self) -> dict[str, Any]:
        """Settings of runs on it where nothing else is said: fields of `Settings`."""
        ...

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `loss` at theta in float64."""
        ...

    def hessian_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `hessian` in the spectral norm, beyond a few eps of the Hessian itself."""
        ...

    def smooth_radius(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """The Hessian is continuous closer to theta than this."""
        ...

    def third_derivative(self, theta: Float[Array, " p"], radius: Float[Array, ""]) -> Float[Array, ""]:
        """Lipschitz constant of the Hessian within `radius` of theta; inf where no bound is known."""
        ...

    def start(self, key: Array, init: str, init_scale: float) -> Float[Array, " p"]:
        """A random starting point in float64."""
        ...

    def read(self, theta: np.ndarray) -> Any:
        """The parameters that theta stands for."""
        ...

    def write(self, params: Any) -> np.ndarray:
        """The theta that stands for these parameters, float64."""
        ...


def _register(cls: type, data: tuple[str, ...], facts: tuple[str, ...]) -> type:
    return jax.tree_util.register_dataclass(cls, data_fields=list(data), meta_fields=list(facts))


class Automatic:
    """Derivatives of a problem that has a loss only, by automatic differentiation, which takes one side of a kink."""

    def loss(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """The loss at theta."""
        raise AssertionError("every problem has its own")

    def gradient(self, theta: Float[Array, " p"]) -> Float[Array, " p"]:
        """Automatic gradient."""
        return jax.grad(self.loss)(theta)

    def hessian(self, theta: Float[Array, " p"]) -> Float[Array, "p p"]:
        """Automatic Hessian, symmetrised."""
        h = jax.jacfwd(jax.grad(self.loss))(theta)
        return 0.5 * (h + h.T)

    def gradients(self, theta: Float[Array, "lanes p"]) -> Float[Array, "lanes p"]:
        """Automatic gradients of rows."""
        return jax.vmap(self.gradient)(theta)

    def gradient_lanes(self, theta: Float[Array, "p lanes"]) -> Float[Array, "p lanes"]:
        """Automatic gradients of columns."""
        return jax.vmap(self.gradient, in_axes=-1, out_axes=-1)(theta)

    def kinks(self, theta: Float[Array, " p"]) -> Float[Array, " m"]:
        """None known."""
        return theta[:0]

    def defaults(self) -> dict[str, Any]:
        """Settings of runs on it where nothing else is said: those of `Settings`."""
        return {}


@dataclass(frozen=True, eq=False)
class UserLoss(Automatic):
    """Anyone's own loss, derivatives by automatic differentiation. Made by `from_loss`."""

    function: Callable[[Any], Array]
    unravel: Callable[[Array], Any]
    init: Callable[[Array], Any]
    p: int
    bound: LowerBound | None = None
    canonical: Callable[[Any], Any] | None = None
    width: int | None = None
    kind: str = "from_loss"
    normalisation: str = "the user's own"
    scale: float = 1.0
    coercive: bool = False
    arrays: tuple = field(default=())  # no data of our own: what the loss closes over is constant

    @property
    def lower_bound(self) -> LowerBound | None:
        """The bound the user gave."""
        return self.bound

    @property
    def symmetry(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """The user's map to one representative an orbit, on flat vectors."""
        canonical = self.canonical
        if canonical is None:
            return None
        return lambda theta: self.write(canonical(self.read(theta)))

    def loss(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """The user's loss at the parameters that theta stands for."""
        return self.function(self.unravel(theta))

    @property
    def gradient_scale(self) -> float:
        """The scale, as if curvature were of order one."""
        return self.scale

    kinked = False
    trailing = False
    block = 32

    def loss_error(self, theta: np.ndarray) -> float:
        """Estimated, not bounded: four times the spread of the loss over perturbations of theta by one ulp."""
        theta = np.asarray(theta, np.float64)
        rng = np.random.default_rng(0)
        nudges = theta * (1 + np.finfo(float).eps * rng.choice([-1.0, 0.0, 1.0], size=(16, theta.size)))
        values = np.asarray(losses_at(self, np.concatenate([theta[None], nudges])), np.float64)
        eps = float(jnp.finfo(losses_at(self, theta[None]).dtype).eps)
        return float(4 * np.max(np.abs(values - values[0])) + 8 * eps * abs(values[0]))

    def hessian_error(self, theta: np.ndarray) -> float:
        """None known beyond a few eps of the Hessian itself."""
        return 0.0

    def smooth_radius(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """Unknown: taken as the scale."""
        return jnp.full((), self.scale, theta.dtype)

    def third_derivative(self, theta: Float[Array, " p"], radius: Float[Array, ""]) -> Float[Array, ""]:
        """Unknown: inf."""
        return jnp.full((), jnp.inf, theta.dtype)

    def start(self, key: Array, init: str, init_scale: float) -> Float[Array, " p"]:
        """A draw of the user's own `init`."""
        return init_scale * ravel_pytree(self.init(key))[0].astype(jnp.float64)

    def read(self, theta: np.ndarray) -> Any:
        """The user's pytree."""
        return self.unravel(jnp.asarray(theta))

    def write(self, params: Any) -> np.ndarray:
        """The pytree raveled."""
        theta = np.asarray(ravel_pytree(params)[0], np.float64)
        if theta.shape != (self.p,):
            raise InputError(f"params have {theta.size} numbers and the problem has {self.p} coordinates.")
        return theta


_register(
    UserLoss,
    ("arrays",),
    ("function", "unravel", "init", "p", "bound", "canonical", "width", "kind", "normalisation", "scale", "coercive"),
)

# For programs that run rarely: compiled in a third of the time, and hardly slower.
QUICK = {"xla_backend_optimization_level": 1}
losses_at = jax.jit(jax.vmap(lambda problem, theta: problem.loss(theta), in_axes=(None, 0)), compiler_options=QUICK)


def from_loss(
    loss: Callable[[Any], Any],
    init: Callable[[Array], Any],
    lower_bound: float | None = None,
    symmetry: Callable[[Any], Any] | None = None,
    scale: float = 1.0,
) -> UserLoss:
    """A problem from a JAX loss over any pytree of arrays (Flax and Equinox parameters too).

    Derivatives are automatic, so they are wrong where automatic differentiation is (at kinks); labels of such a
    problem never carry more than numerical evidence.

    Args:
        loss: params -> scalar, traceable by JAX.
        init: A `jax.random` key -> params: the distribution of the restarts.
        lower_bound: A number that no loss can lie below (0 for a sum of squares). Without one the best loss seen is
            only that, and no point is called global.
        symmetry: params -> one representative of their orbit, e.g. the same network with its hidden units sorted.
            Without it two restarts count as one point only when they are equal.
        scale: Typical size of the parameters; tolerances are multiples of it.

    Raises:
        InputError: The loss is not a scalar, is not finite at a first draw of `init`, or has no inexact parameters.
    """
    with jax.enable_x64(True):
        params = init(jax.random.key(0, impl="threefry2x32"))
        leaves = jax.tree.leaves(params)
        if not leaves or not all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves):
            raise InputError("init must return a pytree of floating-point arrays (for Equinox: eqx.filter the model).")
        theta, _ = ravel_pytree(params)
        theta = theta.astype(jnp.float64)
        unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params))[1]

        def chart(flat: Array) -> Any:
            # A float32 descent hands in float32; ravel's own chart insists on the dtype it was made with.
            return jax.tree.map(lambda leaf: leaf.astype(flat.dtype), unravel(flat.astype(jnp.float64)))

        try:
            value = loss(chart(theta))
        except Exception as error:  # anything can go wrong in a user's function: say what and where
            raise InputError(f"the loss raised at the first draw of init: {type(error).__name__}: {error}") from error
        if jnp.shape(value) != ():
            raise InputError(f"the loss must return a scalar, found shape {jnp.shape(value)}; sum or average it.")
        if not np.isfinite(float(value)):
            raise InputError(f"the loss is {float(value)} at the first draw of init; it must be finite at the start.")
    if lower_bound is not None and not np.isfinite(lower_bound):
        raise InputError(f"lower_bound must be a finite number or None, found {lower_bound}.")
    bound = None if lower_bound is None else LowerBound(float(lower_bound), "given")
    return UserLoss(
        function=loss, unravel=chart, init=init, p=int(theta.size), bound=bound, canonical=symmetry, scale=float(scale)
    )
