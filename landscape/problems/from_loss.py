"""Anyone's own JAX loss over a pytree, as a landscape."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.mappings import spare
from landscape.precision import float64
from landscape.problems.composition import Curvature, composition
from landscape.problems.derivatives import gradients_and_losses
from landscape.problems.given_functions import are_functions, asked, drawn, first_draw, followed, program
from landscape.problems.partition import Partition, names_of, partition
from landscape.problems.problem import QUICK, Problem, digest, rounded
from landscape.problems.restart import start_points
from landscape.problems.units import STEP, Units, units
from landscape.records import InputError, LowerBound, dimensions, numbers, real, shortened

UNMOVED = 1e-5  # of the params: a map that computes in float32 moves them by 1e-7
PLAIN = Units()
PROBES = 8  # draws of `init` at which a loss is asked what it says, to be recognised
LARGEST_SCALE = 1e150  # the square of a length in it, or in its inverse, is a float64


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["arrays"],
    meta_fields=[
        "function",
        "unravel",
        "split",
        "init",
        "size",
        "bound",
        "canonical",
        "scale",
        "sizes",
        "invariances",
        "steepness",
        "step_size",
        "curvature",
    ],
)
@dataclass(frozen=True, eq=False, repr=False)
class UserLoss(Problem):
    """Anyone's own loss, derivatives by automatic differentiation. Made by `from_loss`.

    Where the user's pytree is a model, with functions and the like beside its arrays, the functions here see the arrays
    alone, in a tree of the same form; see `partition`.

    Attributes:
        function: params -> scalar.
        unravel: theta [p] -> params, in theta's dtype.
        split: Takes the arrays out of the user's pytree, and puts them back.
        init: A `jax.random` key -> params.
        size: Number of coordinates.
        bound: The lower bound that the user gave or that the program of the loss shows, None without.
        canonical: params -> one representative of their orbit, None without.
        scale: Typical size of the parameters: the user's, or as `units` finds it.
        sizes: Typical size of every coordinate, [p], None where the user gave none: it is read off starts then.
        invariances: Functions (params, small number) -> params that the user says leave the loss as it is.
        steepness: Size of the gradient at starts in units of the scale, as `units` finds it.
        step_size: Of gradient descent, unless another is asked for, as `units` finds it.
        curvature: Whether the loss is convex, as its program shows.
        arrays: Empty: what the loss closes over is constant.
    """

    function: Callable[[Any], Array]
    unravel: Callable[[Any], Any]
    split: Partition
    init: Callable[[Array], Any]
    size: int
    bound: LowerBound | None = None
    canonical: Callable[[Any], Any] | None = None
    scale: float = 1.0
    sizes: tuple[float, ...] | None = None
    invariances: tuple[Callable[[Any, Any], Any], ...] = ()
    steepness: float = 1.0
    step_size: float = STEP
    curvature: Curvature = Curvature.NOT_CLEAR
    arrays: tuple = field(default=())

    kind = "from_loss"
    width = None
    error_bounded = False
    normalisation = "the user's own"

    @property
    def p(self) -> int:
        """Number of coordinates of theta."""
        return self.size

    @property
    def gradient_scale(self) -> float:
        """Size of the gradient where theta is off by about `scale`."""
        return self.scale * self.steepness

    @property
    def loss_range(self) -> float:
        """Size of what losses at starts are above the bound: where starts are on a plateau gradients say too little."""
        above = _probed(self)[1] - (0.0 if self.bound is None else self.bound.value)
        seen = np.abs(above[np.isfinite(above)])
        return max(self.scale * self.gradient_scale, float(np.median(seen)) if len(seen) else 0.0)

    @property
    def lower_bound(self) -> LowerBound | None:
        """The bound the user gave, or zero of a loss that is nowhere negative by its program."""
        return self.bound

    @property
    def symmetry(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """The user's map to one representative an orbit, on flat vectors."""
        canonical = self.canonical
        if canonical is None:
            return None

        def on_vectors(theta: np.ndarray) -> np.ndarray:
            with float64():
                return self.write(canonical(self.unravel(jnp.asarray(theta, jnp.float64))))

        return on_vectors

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The user's loss at the parameters that theta stands for; its matrix products are in full precision."""
        with jax.default_matmul_precision("highest"):
            return self.function(self.unravel(theta))

    def defaults(self) -> dict[str, Any]:
        """The step of gradient descent that suits curvatures between starts."""
        return {"step_size": self.step_size}

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """A draw of the user's own `init`."""
        return init_scale * ravel_pytree(self.init(key))[0].astype(jnp.float64)

    def read(self, theta: np.ndarray) -> Any:
        """The user's pytree, its arrays in float64 and of NumPy.

        With JAX's 64 bits off, the first operation on a JAX array would round it to float32; NumPy's keep their digits.
        """
        return self.split.whole(self.arrays_at(theta))

    def arrays_at(self, theta: np.ndarray) -> Any:
        """The arrays of the user's pytree alone."""
        with float64():
            return jax.tree.map(np.asarray, self.unravel(jnp.asarray(theta, jnp.float64)))

    def matrices(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """The leaves by their path, vectors as rows, and tensors of more axes with the last one kept."""
        leaves = jax.tree_util.tree_leaves_with_path(self.arrays_at(theta))
        names = [jax.tree_util.keystr(path).strip("[]'.") or "parameters" for path, _ in leaves]
        columns = [max(1, leaf.shape[-1]) if leaf.ndim else 1 for _, leaf in leaves]
        return {name: leaf.reshape(-1, count) for name, (_, leaf), count in zip(names, leaves, columns, strict=True)}

    def write(self, params: Any) -> np.ndarray:
        """The pytree raveled; a flat theta is taken too.

        Raises:
            InputError: The number of coordinates, a name or a shape does not fit.
        """
        own = names_of(self.arrays_at(np.zeros(self.p)))
        with float64():
            given = {name: numbers(leaf, "params") for name, leaf in names_of(self.split.arrays(params)).items()}
        if given.keys() == own.keys():
            given = {name: given[name] for name in own}  # a state_dict keeps an order of its own
        theta = np.concatenate([leaf.ravel() for leaf in given.values()]) if given else np.zeros(0)
        if theta.shape != (self.p,):
            raise InputError(f"params have {theta.size} numbers and the problem has {self.p} coordinates.")
        _same_form(given, own)
        return theta

    def tangents(self, thetas: Float[AnyArray, "m p"]) -> Float[np.ndarray, "m g p"]:
        """Velocities of the invariances that the user declared, at many points; not normalised, and not checked."""
        if not self.invariances:
            return np.zeros((len(thetas), 0, self.p))
        with float64():
            padded = np.resize(thetas, (1 << (len(thetas) - 1).bit_length(), self.p))  # few sizes, few programs
            return np.asarray(_velocities(self, jnp.asarray(padded, jnp.float64)))[: len(thetas)]

    def filters(self) -> np.ndarray:
        """One for every place on the last axis of an array of two axes or more, as JAX libraries keep kernels
        [inputs, outputs]; one for every smaller array.
        """
        found, count = [], 0
        for leaf in jax.tree.leaves(self.arrays_at(np.zeros(self.p))):
            own = np.broadcast_to(np.arange(leaf.shape[-1]), leaf.shape) if leaf.ndim > 1 else np.zeros(leaf.shape, int)
            found.append(count + own.ravel())
            count += leaf.shape[-1] if leaf.ndim > 1 else 1
        return np.concatenate(found)

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each where every leaf has one more axis in front, as long for all."""
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(self.arrays_at(np.zeros(self.p)))]
        params = self.split.arrays(params)
        given = [np.shape(leaf) for leaf in jax.tree.leaves(params)]
        many = {shape[0] for shape in given if shape}
        if len(many) != 1 or given != [(*many, *shape) for shape in shapes]:
            return None
        return [self.write(jax.tree.map(lambda leaf, i=i: leaf[i], params)) for i in range(*many)]

    def fingerprint(self) -> str:
        """A digest of what the loss says at PROBES draws of `init`: values, gradients, shapes, bound and scale.

        Functions cannot be compared, so that is all there is: two losses that agree to ten digits at all these points
        are taken for one.
        """
        draws, value, gradient = _probed(self)
        shapes = str(jax.tree.map(np.shape, self.arrays_at(draws[0])))
        bound = None if self.bound is None else self.bound.value
        return digest(self.kind, shapes, bound, self.scale, self.sizes, *map(rounded, (draws, value, gradient)))


def from_loss(
    loss: Callable[[Any], Any],
    init: Callable[[Array], Any],
    lower_bound: float | None = None,
    symmetry: Callable[[Any], Any] | None = None,
    scale: Any = None,
    invariances: Sequence[Callable[[Any, Any], Any]] = (),
) -> UserLoss:
    """A problem from a JAX loss over any pytree of arrays, or over models of Equinox and Flax as they are.

    Derivatives are automatic, so they are wrong where automatic differentiation is (at kinks); labels of such a
    problem never carry more than numerical evidence.

    Args:
        loss: params -> scalar, traceable by JAX.
        init: A `jax.random` key -> params: the distribution of the restarts. Where params hold more than floating-point
            arrays (functions, whole numbers), they are a model: its floating-point arrays are the parameters, and the
            rest stays as in the first draw.
        lower_bound: A number that no loss can lie below. Zero is known of a loss that is nowhere negative by its
            program, as a sum of squares is. Without a bound a minimum is called global only where the loss is convex by
            its program; else the best loss seen is only that.
        symmetry: params -> one representative of their orbit, e.g. the same network with its hidden units sorted.
            Without it two restarts count as one point only when they are equal.
        scale: Typical size of the parameters, of which tolerances are multiples: a number, or a pytree like params
            of sizes for every leaf or coordinate. Without it labels take the root mean square over draws of `init`.
        invariances: Continuous symmetries, each a function (params, small number) -> params that leaves the loss as it
            is: directions of zero curvature along them are known to be flat, once the loss has been asked.

    Raises:
        InputError: The loss is not JAX, not a real scalar, not finite at a first draw of `init`, another number when
            asked again, or has no parameters; `init` is not JAX, or draws by something else than its key; a scale is
            not from 1e-150 to 1e150, or not of the shape of params; a symmetry or an invariance does not make params
            of params; or an invariance moves them at the small number 0.
    """
    are_functions(loss, init, symmetry, invariances)
    spare()  # every loss brings programs of its own
    with float64():
        params = first_draw(init)
        split = partition(params)
        params = split.arrays(params)
        if split.rest:
            loss, init = _through(split, loss, into=True), _through(split, init, out=True)
            symmetry = None if symmetry is None else _through(split, symmetry, into=True, out=True)
            invariances = [_through(split, one, into=True, out=True) for one in invariances]
            scale = scale if dimensions(scale) == 0 else split.arrays(scale)
        theta, _ = ravel_pytree(params)
        if not theta.size:
            raise InputError("init must return at least one number.")
        theta = theta.astype(jnp.float64)
        unravel = ravel_pytree(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params))[1]
        chart = partial(_params_at, unravel)  # goes to other processes by its name, as a function made here would not

        value = asked(lambda flat: loss(chart(flat)), theta)
        followed(lambda flat: loss(chart(flat)), theta)
        if type(value) in (bool, int, float):
            raise InputError(f"the loss must depend on the parameters, and is the plain number {value}.")
        shown = composition(program(loss, chart, theta))
        drawn(init, theta)
    bound = None if lower_bound is None else LowerBound(real("lower_bound", lower_bound), "given")
    if shown.nonnegative and (bound is None or bound.value < 0):
        bound = LowerBound(0.0, "nowhere negative by its program")
    sizes = None if scale is None else _sizes(scale, params)
    whole = UserLoss(
        function=loss, unravel=chart, split=split, init=init, size=int(theta.size), bound=bound, canonical=symmetry,
        scale=1.0 if sizes is None else float(np.exp(np.mean(np.log(sizes)))),
        sizes=None if sizes is None else tuple(sizes.tolist()), invariances=tuple(invariances),
        curvature=shown.curvature,
    )  # fmt: skip
    _mapped(whole, theta)
    draws, _, slopes = _probed(whole)
    found = units(draws, slopes, None if sizes is None else whole.scale)
    return whole if found == PLAIN else replace(whole, **found._asdict())


def _params_at(unravel: Callable[[Any], Any], theta: AnyArray) -> Any:
    """params at theta [p], in its dtype: a float32 descent hands in float32, and `unravel` takes float64 alone."""
    return jax.tree.map(lambda leaf: leaf.astype(theta.dtype), unravel(theta.astype(jnp.float64)))


def _through(split: Partition, function: Callable[..., Any], into: bool = False, out: bool = False) -> Any:
    """A function of or to the user's pytree as one of or to its arrays alone."""

    def of_arrays(first: Any, *more: Any) -> Any:
        found = function(split.whole(first) if into else first, *more)
        return split.arrays(found) if out else found

    return of_arrays


def _mapped(problem: UserLoss, theta: Array) -> None:
    """Raises InputError unless the symmetry and the invariances make params of params, theta at a first draw.

    An invariance at the small number 0 has to leave them as they are.
    """
    functions = [] if problem.canonical is None else [("symmetry", problem.canonical, ())]
    functions += [(f"invariances[{i}]", one, (0.0,)) for i, one in enumerate(problem.invariances)]
    for name, function, more in functions:
        with float64():
            try:
                found = function(problem.unravel(theta), *more)
            except Exception as error:  # anything can go wrong in a user's function: say what and where
                what = f"{type(error).__name__}: {error}"
                raise InputError(f"{name} raised at the first draw of init: {what}") from error
        try:
            end = problem.write(found)
        except InputError as error:
            raise InputError(f"{name} must return params like those of init: {error}") from error
        off = float(np.linalg.norm(end - np.asarray(theta)))
        # Else its velocity at zero is another point's.
        if more and not off <= UNMOVED * float(np.linalg.norm(np.asarray(theta))):
            raise InputError(f"{name} must leave params as they are at the small number 0: it moves them by {off:.2g}.")


def _same_form(given: dict[str, np.ndarray], own: dict[str, np.ndarray]) -> None:
    """Raises InputError unless the names and shapes of params are those of the problem.

    A list of numbers may stand for an array, a tuple for a record, and one array for theta.
    """
    without = [{re.sub(r"\b\d+\b", "", name).strip(".") for name in some} - {""} for some in (given, own)]
    several = len(given) == len(own) > 1
    if without[0] and (without[0] != without[1] or (several and given.keys() != own.keys())):
        raise InputError(f"params have {_listed(given)} where the problem has {_listed(own)}.")
    for one, (name, leaf) in zip(given.values(), own.items(), strict=True) if several else ():
        if one.shape != leaf.shape and leaf.size > 1:  # a single number may have axes
            raise InputError(f"params have {name} of shape {list(one.shape)} where the problem has {list(leaf.shape)}.")


def _listed(names: Iterable[str]) -> str:
    return shortened(", ".join(names), 40, 120)


@partial(jax.jit, compiler_options=QUICK)
def _velocities(problem: UserLoss, thetas: Array) -> Array:
    """How fast each invariance moves each point where its small number is zero, [m, g, p]."""

    def moved(function: Callable[[Any, Any], Any], params: Any) -> Array:
        return jax.jvp(lambda small: ravel_pytree(function(params, small))[0], (jnp.zeros(()),), (jnp.ones(()),))[1]

    def one(theta: Array) -> Array:
        return jnp.stack([moved(function, problem.unravel(theta)) for function in problem.invariances])

    return jax.vmap(one)(thetas)


@lru_cache(maxsize=64)
def _probed(problem: UserLoss) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """PROBES draws of `init` [m, p], and the loss [m] and gradient [m, p] there, in float64."""
    with float64():
        # One program, before the units are known and after.
        plain = (problem.scale, problem.steepness, problem.step_size) == PLAIN
        without = problem if plain else replace(problem, **PLAIN._asdict())
        draws = start_points(without, 0, np.arange(PROBES))
        found = np.asarray(gradients_and_losses(without, np.ones(problem.p), draws), np.float64)
    return draws, found[:, -1], found[:, :-1]


def _sizes(scale: Any, params: Any) -> np.ndarray:
    """The size of every coordinate, [p]."""
    leaves = jax.tree.leaves(params)
    given = jax.tree.leaves(scale)
    if len(given) == 1:
        given = given * len(leaves)
    try:
        parts = [np.broadcast_to(np.asarray(a, float), np.shape(b)).ravel() for a, b in zip(given, leaves, strict=True)]
    except (ValueError, TypeError, OverflowError):
        raise InputError("scale must be a number or a pytree like the parameters, a size for every leaf.") from None
    sizes = np.concatenate(parts)
    if not np.all((sizes >= 1 / LARGEST_SCALE) & (sizes <= LARGEST_SCALE)):
        raise InputError(
            f"every scale must be a positive finite number, from {1 / LARGEST_SCALE:g} to {LARGEST_SCALE:g}."
        )
    return sizes
