"""Is a loss convex, or nowhere negative, by its program? Composition rules for its operations, one after the other.

The rules are those of disciplined convex programming (Grant, Boyd and Ye 2006), with three more: a sum of functions
whose logarithms are convex has a convex logarithm, the square root of a sum of squares is a norm, and the number that a
log-sum-exp takes away and adds again changes nothing. What no rule covers is not clear. A local minimum of a convex
loss is global, whatever its value; a loss that is nowhere negative has the lower bound zero.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.precision import float64
from landscape.problems.walk import bind, walk


class Curvature(enum.Enum):
    """What the program of a loss says of its curvature."""

    CONVEX = "convex"
    QUADRATIC = "a polynomial of second degree"  # convex where its one Hessian is positive definite
    NOT_CLEAR = "not clear"


class _Shift(NamedTuple):
    """A number m that was taken away: which stopped value it is, and on which axes of this one it varies.

    Attributes:
        of: The stopped value.
        axes: For each of its axes the axis here, None where it has one entry.
        factor: Whether exp(m) is divided by, in the place of m being taken away.
    """

    of: object
    axes: tuple[int | None, ...]
    factor: bool = False


class _Value(NamedTuple):
    """What is known of all entries of a value, as functions of the parameters.

    Attributes:
        convex: Convex.
        concave: Concave; affine with `convex`.
        nonnegative: Nowhere negative.
        nonpositive: Nowhere positive.
        log_convex: Nonnegative, with a convex logarithm.
        log_concave: Nonnegative, with a concave logarithm.
        root_convex: Nonnegative, with a convex square root.
        degree: As a polynomial; 3 for all that is not one of second degree.
        stopped: As what this value may be taken away from a log-sum-exp and added again.
        shift: What has been taken away: all of the above are of this value with it.
    """

    convex: bool = False
    concave: bool = False
    nonnegative: bool = False
    nonpositive: bool = False
    log_convex: bool = False
    log_concave: bool = False
    root_convex: bool = False
    degree: int = 3
    stopped: _Shift | None = None
    shift: _Shift | None = None

    @property
    def affine(self) -> bool:
        return self.convex and self.concave

    @property
    def folds(self) -> bool:
        """Whether an even convex function of this value is convex."""
        return self.affine or (self.convex and self.nonnegative) or (self.concave and self.nonpositive)


UNKNOWN = _Value()


class Composition(NamedTuple):
    """What the program of a loss shows of it on all parameters.

    Attributes:
        curvature: Whether it is convex.
        nonnegative: Whether it is nowhere negative, so that zero is a lower bound.
    """

    curvature: Curvature = Curvature.NOT_CLEAR
    nonnegative: bool = False


def composition(program: Any) -> Composition:
    """What the program of a function of one array of parameters, traced by JAX in float64, shows of the function.

    Loops, branches on parameters and products of parameters show nothing of the curvature, but for products of second
    degree.
    """
    with float64():
        start = _Value(convex=True, concave=True, degree=1)
        (out,) = walk(program.jaxpr, program.consts, [start], _step, ("logaddexp",))
        out = _value(out)
    if out.shift is not None:
        return Composition()
    if out.convex:
        return Composition(Curvature.CONVEX, out.nonnegative)
    return Composition(Curvature.QUADRATIC if out.degree <= 2 else Curvature.NOT_CLEAR, out.nonnegative)


def _step(eqn: Any, ins: list[Any]) -> list[Any]:
    """What is known of the results of an operation."""
    if not any(isinstance(one, _Value) for one in ins):
        return bind(eqn, ins)
    name, values = eqn.primitive.name, [_value(one) for one in ins]
    if any(jnp.issubdtype(one.aval.dtype, jnp.complexfloating) for one in (*eqn.invars, *eqn.outvars)):
        out = UNKNOWN  # a square is of any sign there
    elif any(one.shift is not None for one in values):
        out = _shifted(eqn, ins, values)
    elif name == "sub" and values[1].stopped is not None:
        out = values[0]._replace(stopped=None, shift=values[1].stopped)
    elif name in RULES:
        out = RULES[name](eqn, ins, values)
        stopped = _stopped(eqn, values[0]) if name in LAYOUT or name == "stop_gradient" else None
        out = out._replace(stopped=stopped)
    elif _is_logaddexp(eqn):
        out = _Value(convex=all(one.convex for one in values), nonnegative=any(one.nonnegative for one in values))
    else:
        out = UNKNOWN
    return [out] * len(eqn.outvars)


def _value(one: Any) -> _Value:
    """What is known of a value, or of a constant."""
    if isinstance(one, _Value):
        return one
    if not (jnp.issubdtype(jnp.result_type(one), jnp.number) or jnp.issubdtype(jnp.result_type(one), jnp.bool_)):
        return UNKNOWN  # a key of random numbers
    low, high = (bool(np.all(np.asarray(test))) for test in (jnp.greater_equal(one, 0), jnp.less_equal(one, 0)))
    return _Value(True, True, low, high, low, low, low, 0)


# -- rules -------------------------------------------------------------------------------------------------------------


def _negated(x: _Value) -> _Value:
    return _Value(x.concave, x.convex, x.nonpositive, x.nonnegative, degree=x.degree)


def _times(x: _Value, constant: _Value) -> _Value:
    """A value times constants of one sign, or of several; sums of such products too."""
    if constant.nonnegative:
        return x
    if constant.nonpositive:
        return _negated(x)
    return _Value(x.affine, x.affine, degree=x.degree)


def _sum(a: _Value, b: _Value) -> _Value:
    return _both(a, b)._replace(log_concave=False)


def _both(a: _Value, b: _Value) -> _Value:
    """What holds of both: of every entry, where some are of one and some of the other."""
    return _Value(*(x and y for x, y in zip(a[:7], b[:7], strict=True)), degree=max(a.degree, b.degree))


def _even(x: _Value) -> _Value:
    """A square, or another even power."""
    return _Value(
        convex=x.folds, nonnegative=True, log_convex=x.log_convex, log_concave=x.log_concave, root_convex=x.folds,
        degree=min(3, 2 * x.degree),
    )  # fmt: skip


def _product(a: _Value, b: _Value) -> _Value:
    """A product of two values that both depend on the parameters."""
    log_convex = a.log_convex and b.log_convex
    return _Value(
        convex=log_convex,
        nonnegative=(a.nonnegative and b.nonnegative) or (a.nonpositive and b.nonpositive),
        nonpositive=(a.nonnegative and b.nonpositive) or (a.nonpositive and b.nonnegative),
        log_convex=log_convex,
        log_concave=a.log_concave and b.log_concave,
        degree=min(3, a.degree + b.degree),
    )


def _reciprocal(x: _Value) -> _Value:
    """One over a value that is nowhere negative; over others nothing is known."""
    log_convex = x.nonnegative and (x.concave or x.log_concave)
    return _Value(
        convex=log_convex, nonnegative=x.nonnegative, nonpositive=x.nonpositive, log_convex=log_convex,
        log_concave=x.log_convex,
    )  # fmt: skip


def _mul(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    a, b = values
    if not isinstance(ins[0], _Value):
        return _times(b, a)
    if not isinstance(ins[1], _Value):
        return _times(a, b)
    return _even(a) if eqn.invars[0] is eqn.invars[1] else _product(a, b)


def _div(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    a, b = values
    if not isinstance(ins[1], _Value):
        return _times(a, b)  # as by its reciprocal, which has its sign
    return _product(a, _reciprocal(b)) if isinstance(ins[0], _Value) else _times(_reciprocal(b), a)


def _dot(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    """Sums of products."""
    a, b = values
    if not (isinstance(ins[0], _Value) and isinstance(ins[1], _Value)):
        return _mul(eqn, ins, values)._replace(log_concave=False)
    if eqn.primitive.name == "dot_general" and eqn.invars[0] is eqn.invars[1]:
        (left, right), _ = eqn.params["dimension_numbers"]
        if tuple(left) == tuple(right) and len(left) == eqn.invars[0].aval.ndim:  # the sum of all squares
            return _even(a)._replace(log_concave=False)
    return _product(a, b)._replace(log_concave=False)


def _max(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    a, b = values[0], values[-1]
    both = _both(a, b)
    return both._replace(concave=False, nonnegative=a.nonnegative or b.nonnegative, log_concave=False, degree=3)


def _min(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    a, b = values[0], values[-1]
    both = _both(a, b)
    return _Value(False, both.concave, both.nonnegative, a.nonpositive or b.nonpositive, log_concave=both.log_concave)


def _abs(x: _Value) -> _Value:
    return x if x.nonnegative else _Value(convex=x.folds, nonnegative=True)


def _exp(x: _Value) -> _Value:
    return _Value(convex=x.convex, nonnegative=True, log_convex=x.convex, log_concave=x.concave)


def _log(x: _Value) -> _Value:
    return _Value(convex=x.log_convex, concave=x.concave or x.log_concave)


def _sqrt(x: _Value) -> _Value:
    return _Value(
        convex=x.root_convex, concave=x.concave, nonnegative=True, log_convex=x.log_convex, log_concave=x.log_concave
    )


def _integer_pow(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    x, power = values[0], eqn.params["y"]
    if power in (0, 1):
        return x if power else UNKNOWN
    if power < 0:
        return _reciprocal(x) if power == -1 or x.nonnegative else UNKNOWN
    if power % 2 == 0:
        return _even(x)._replace(degree=min(3, power * x.degree))
    up, down = x.convex and x.nonnegative, x.concave and x.nonpositive
    return _Value(up, down, x.nonnegative, x.nonpositive, log_convex=x.log_convex, log_concave=x.log_concave)


def _pow(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    x, power = values[0], ins[1]
    if isinstance(power, _Value) or np.size(power) != 1 or not isinstance(ins[0], _Value):
        return UNKNOWN
    power = float(np.asarray(power).reshape(()))
    if power == 2.0:
        return _even(x)
    if power >= 1.0 and x.nonnegative:
        return _Value(convex=x.convex, nonnegative=True, log_convex=x.log_convex, root_convex=x.convex and power >= 2.0)
    if 0.0 < power < 1.0:
        return _Value(concave=x.concave, nonnegative=True, log_concave=x.log_concave)
    return _reciprocal(x) if power < 0.0 and x.nonnegative else UNKNOWN


def _joined(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    """Entries of several values in one."""
    out = values[0]
    for one in values[1:]:
        out = _both(out, one)
    return out


def _selected(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    """Entries of several values by a condition: where that depends on the parameters, their sign alone is known."""
    out = _joined(eqn, ins[1:], values[1:])
    if not isinstance(ins[0], _Value):
        return out
    return _Value(nonnegative=out.nonnegative, nonpositive=out.nonpositive)


def _taken(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    """Entries by their places, which are constants, and the number that stands for a place that there is not."""
    if any(isinstance(one, _Value) for one in ins[1:]):
        return UNKNOWN
    filled = eqn.params.get("fill_value")
    return values[0] if filled is None or np.isnan(filled) else _both(values[0], _value(filled))


def _converted(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    old, new = (one.aval.dtype for one in (eqn.invars[0], eqn.outvars[0]))
    if not jnp.issubdtype(new, jnp.floating):
        return UNKNOWN
    return values[0] if jnp.issubdtype(old, jnp.floating) else _Value(nonnegative=old == jnp.bool_)  # as of a mask


def _of_one(rule: Callable[[_Value], _Value]) -> Callable[[Any, list[Any], list[_Value]], _Value]:
    return lambda eqn, ins, values: rule(values[0])


LAYOUT = frozenset(["reshape", "broadcast_in_dim", "squeeze", "expand_dims", "copy", "copy_p"])
KEPT = [*LAYOUT, "transpose", "slice", "rev", "stop_gradient", "optimization_barrier", "split"]
RULES: dict[str, Callable[[Any, list[Any], list[_Value]], _Value]] = {
    **dict.fromkeys(KEPT, _of_one(lambda x: x)),
    **dict.fromkeys(["reduce_sum", "cumsum"], _of_one(lambda x: x._replace(log_concave=False))),
    **dict.fromkeys(["add", "add_any"], lambda eqn, ins, values: _sum(*values)),
    **dict.fromkeys(["reduce_max", "cummax", "max"], _max),
    **dict.fromkeys(["reduce_min", "cummin", "min"], _min),
    **dict.fromkeys(["dot_general", "conv_general_dilated"], _dot),
    **dict.fromkeys(["concatenate", "pad"], _joined),
    **dict.fromkeys(["gather", "dynamic_slice"], _taken),
    **dict.fromkeys(["exp", "exp2"], _of_one(_exp)),
    "convert_element_type": _converted,
    "neg": _of_one(_negated),
    "sub": lambda eqn, ins, values: _sum(values[0], _negated(values[1])),
    "mul": _mul,
    "div": _div,
    "select_n": _selected,
    "square": _of_one(_even),
    "integer_pow": _integer_pow,
    "pow": _pow,
    "abs": _of_one(_abs),
    "expm1": _of_one(lambda x: _Value(convex=x.convex, nonnegative=x.nonnegative, nonpositive=x.nonpositive)),
    "log": _of_one(_log),
    "log1p": _of_one(lambda x: _Value(convex=x.log_convex, concave=x.concave, nonnegative=x.nonnegative)),
    "sqrt": _of_one(_sqrt),
    "rsqrt": _of_one(lambda x: _reciprocal(_sqrt(x))),
    "logistic": _of_one(lambda x: _Value(nonnegative=True, log_concave=x.concave)),
    "cosh": _of_one(lambda x: _Value(convex=x.folds, nonnegative=True, log_convex=x.affine)),
}


def _is_logaddexp(eqn: Any) -> bool:
    """Whether an operation is JAX's own logaddexp: a function of the user's may have its name."""
    if eqn.primitive.name != "custom_jvp_call":
        return False
    shapes = [jax.ShapeDtypeStruct(one.aval.shape, one.aval.dtype) for one in eqn.invars]
    own = jax.make_jaxpr(jnp.logaddexp)(*shapes).eqns
    return len(own) == 1 and str(own[0].params.get("call_jaxpr")) == str(eqn.params["call_jaxpr"])


# -- what a log-sum-exp takes away and adds again ----------------------------------------------------------------------


def _stopped(eqn: Any, x: _Value) -> _Shift | None:
    """The stopped value that a result is: a new one, or the same in another layout."""
    if eqn.primitive.name == "stop_gradient":
        shape = eqn.outvars[0].aval.shape
        return _Shift(object(), tuple(i if size > 1 else None for i, size in enumerate(shape)) or (None,))
    return None if x.stopped is None else _laid_out(eqn, x.stopped)


def _laid_out(eqn: Any, shift: _Shift) -> _Shift | None:
    """A shift after a change of layout; None where its axes are not clear any more."""
    name, old, new = eqn.primitive.name, eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    if name == "broadcast_in_dim":
        to = eqn.params["broadcast_dimensions"]
        return shift._replace(axes=tuple(None if axis is None else to[axis] for axis in shift.axes))
    if old == new:
        return shift
    if [size for size in old if size > 1] != [size for size in new if size > 1]:
        return None
    places = iter([i for i, size in enumerate(new) if size > 1])
    to = {i: next(places) for i, size in enumerate(old) if size > 1}
    return shift._replace(axes=tuple(None if axis is None else to[axis] for axis in shift.axes))


def _shifted(eqn: Any, ins: list[Any], values: list[_Value]) -> _Value:
    """What is known where something has been taken away: only what a log-sum-exp does is followed."""
    name, x = eqn.primitive.name, values[0]
    shift = x.shift
    if name in ("add", "sub") and len(values) == 2:
        return _back(name, *values)
    if shift is None:
        return UNKNOWN
    if name in LAYOUT:
        laid = _laid_out(eqn, shift)
        return UNKNOWN if laid is None else x._replace(shift=laid)
    if name == "exp" and not shift.factor:
        return _exp(x)._replace(shift=shift._replace(factor=True))
    if name == "abs" and shift.factor and x.nonnegative:
        return x
    if name == "reduce_sum" and shift.factor:
        axes = eqn.params["axes"]
        if any(axis in axes for axis in shift.axes):
            return UNKNOWN
        left = [i for i in range(eqn.invars[0].aval.ndim) if i not in axes]
        moved = tuple(None if axis is None else left.index(axis) for axis in shift.axes)
        return x._replace(log_concave=False, shift=shift._replace(axes=moved))
    if name == "log" and shift.factor:
        return _log(x)._replace(shift=shift._replace(factor=False))
    return UNKNOWN


def _back(name: str, a: _Value, b: _Value) -> _Value:
    """A sum or difference in which what was taken away is added again, or is in both."""
    if name == "sub" and a.shift is not None and a.shift == b.shift and not a.shift.factor:
        return _sum(a._replace(shift=None), _negated(b))
    if name == "add":
        for one, other in ((a, b), (b, a)):
            if one.shift is not None and not one.shift.factor and one.shift == other.stopped and other.shift is None:
                return one._replace(shift=None)
    return UNKNOWN
