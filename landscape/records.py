"""What travels between the stages: names of outcomes, and plain records of arrays and findings."""

from __future__ import annotations

import difflib
import enum
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np

from landscape import markup


class Status(enum.IntEnum):
    """How one restart ended. Failure is a value: a lane that diverges never stops the others."""

    RUNNING = 0
    CONVERGED = 1  # polished: the gradient norm is at its target
    STALLED = 2  # stationary to the end of descent, but polish could not reach its target
    BUDGET = 3  # the steps ran out first
    DIVERGED = 4  # not finite, or growing without bound, at every step size tried


class Label(enum.StrEnum):
    """What a stationary point is. UNDECIDED is an honest answer; a wrong label is a defect."""

    GLOBAL = "global"
    SPURIOUS = "spurious"
    SADDLE = "saddle"
    TRAP = "trap"
    AT_INFINITY = "at_infinity"
    UNDECIDED = "undecided"
    UNCONVERGED = "unconverged"


class Evidence(enum.StrEnum):
    """How strong the ground of a label is, strongest first."""

    PROVED = "proved"  # interval arithmetic or an exact certificate
    CERTIFIED = "certified"  # a theorem's inequality evaluated in floating point, with its rounding error
    NUMERICAL = "numerical"  # tolerances only


class Flavour(enum.StrEnum):
    """A refinement of a label where theory or curvature gives one; a saddle's is its index, see `index_flavour`."""

    STRICT = "strict"  # a minimum with no other point of its loss nearby, its symmetry apart
    FLAT = "flat"  # a minimum on a set of equal loss
    ESCAPABLE = "flat, escapable"  # a flat minimum from which a way at constant loss leads to a descent
    NOT_CLEAR = "strict or flat"  # a minimum of which theory cannot tell the two apart
    STRICT_MINIMUM = "strict minimum"  # a strict minimum while nobody knows whether a lower loss exists
    FLAT_MINIMUM = "flat minimum"  # a flat minimum while nobody knows whether a lower loss exists
    MINIMUM_NOT_CLEAR = "strict or flat minimum"  # a minimum while neither is known
    BEST_SEEN = "best seen"  # a minimum that no restart of its census went below
    FOR_THIS_WIDTH = "for this width"  # a global minimum that a wider network could go below
    DEAD_NEURON = "dead neuron"  # a trap in which a neuron at zero comes alive and descends
    NEURON_AT_ZERO = "neuron at zero"  # a trap on a line: a coefficient at zero has a slope down on one side
    TIE = "tie"  # a trap at data rows on which a pre-activation is zero
    ZERO_NEURON = "zero neuron"  # a saddle that a neuron at zero leaves
    ESCAPE_NEURON = "escape neuron"  # a saddle that a neuron with outer weight zero leaves
    ZERO_SUBNETWORK = "zero subnetwork"  # a saddle that a subnetwork at zero leaves
    DEGENERATE = "degenerate"  # a saddle that only terms of third or higher order leave


LOWER_SEEN = "lower loss seen"  # the last words of `by` where a loss shows that a minimum is not the least

# What an undecided minimum is called once a lower loss has been seen.
WITNESSED = {
    Flavour.STRICT_MINIMUM: Flavour.STRICT,
    Flavour.FLAT_MINIMUM: Flavour.FLAT,
    Flavour.MINIMUM_NOT_CLEAR: Flavour.NOT_CLEAR,
}


def index_flavour(index: int) -> str:
    """The flavour of a saddle with so many directions of negative curvature."""
    return f"index {index}"


class Basin(enum.StrEnum):
    """The ground on which a polished point is taken for the one that its descent would have reached."""

    SHOWN = "shown"  # an inequality traps the descent
    LOWER_BOUND = "lower bound"  # the point is global: which global one it is does not matter
    NUMERICAL = "numerical"  # near, with positive curvature all the way
    STOPPED = "stopped"  # the descent itself had stopped: beside a saddle, mostly
    FINISHED = "finished"  # an exact finish from where the descent stood; plain descent may end elsewhere


class Point(NamedTuple):
    """The stationary point that one restart led to.

    Attributes:
        theta: Coordinates after polish, [p], float64.
        loss: Loss at theta, in the problem's own normalisation.
        loss_error: Bound on the rounding error of `loss`.
        grad_norm: Euclidean norm of the gradient at theta (least norm over the subdifferential at a kink).
        moved: Distance from the end of descent to theta.
        status: A `Status`.
    """

    theta: np.ndarray
    loss: float
    loss_error: float
    grad_norm: float
    moved: float
    status: int


class Spectrum(NamedTuple):
    """Eigenvalues of the Hessian at a point, with what they can be trusted for.

    Attributes:
        eigenvalues: Ascending, [p].
        error: Each eigenvalue is within this of an eigenvalue of the exact Hessian.
        lowest: Unit eigenvector of the least eigenvalue, [p]; None where all are clearly positive.
        index: Number of eigenvalues below -error.
        zeros: Number of eigenvalues within the error of zero.
        explained: How many of the zero modes a known symmetry or a duplicated neuron accounts for.
    """

    eigenvalues: np.ndarray
    error: float
    lowest: np.ndarray | None
    index: int
    zeros: int
    explained: int

    @property
    def min_curvature(self) -> float:
        """The least eigenvalue."""
        return float(self.eigenvalues[0])


@dataclass(frozen=True)
class LowerBound:
    """A number no loss of the problem lies below, and who says so."""

    value: float
    by: str


@dataclass(frozen=True)
class Claim:
    """What a room of theory says of a point. None means that the room has nothing to add there.

    Attributes:
        label: What the point is.
        flavour: A refinement where theory gives one: a `Flavour`, or `index_flavour` of a saddle.
        evidence: How strong the ground is; None for undecided and unconverged points.
        by: The room or test that decided.
        margin: By how much the deciding inequality held, in its own units.
        loss: Loss of the point.
        loss_error: Bound on its rounding error.
        lower_bound: No point of the problem has a smaller loss.
        wider: How much lower a wider network could go, where known.
        grad_norm: Gradient norm (least over the subdifferential).
        min_curvature: Least Hessian eigenvalue.
        escape: A direction of descent, [p], for saddles and traps.
        reason: One sentence, always for undecided points.
    """

    label: Label
    flavour: str | None = None
    evidence: Evidence | None = None
    by: str | None = None
    margin: float | None = None
    loss: float | None = None
    loss_error: float | None = None
    lower_bound: float | None = None
    wider: float | None = None
    grad_norm: float | None = None
    min_curvature: float | None = None
    escape: np.ndarray | None = field(default=None, compare=False)
    reason: str | None = None

    @property
    def excess(self) -> float | None:
        """loss - lower_bound; of a global point not below zero, where it is rounding."""
        if self.loss is None or self.lower_bound is None:
            return None
        above = self.loss - self.lower_bound
        return max(above, 0.0) if self.label == Label.GLOBAL else above


@dataclass(frozen=True, repr=False)
class Verdict(Claim):
    """The label of one point and the evidence for it: a claim, complete with what was measured at the point.

    Prints itself in a few lines, and shows itself in a notebook.

    Attributes:
        polished: The verdict of the stationary point that the given one leads to.
        moved: Distance from the given point to the polished one.
    """

    polished: Verdict | None = None
    moved: float | None = None

    @classmethod
    def of(cls, claim: Claim, **measured: Any) -> Verdict:
        """The claim as a verdict, with what was measured where the claim itself says nothing."""
        said = {f.name: getattr(claim, f.name) for f in fields(Claim)}
        return cls(**said | {name: value for name, value in measured.items() if said[name] is None})

    def sentence(self) -> str:
        """Label, loss, gradient norm and the ground of the label, in one line."""
        said = [f"{self.label} ({self.flavour})" if self.flavour else str(self.label)]
        said += [] if self.loss is None else [f"loss {self.loss:.12g}"]
        said += [] if self.grad_norm is None else [f"gradient norm {self.grad_norm:.1e}"]
        ground = f"{self.evidence} by {self.by}" if self.evidence else self.reason
        return ", ".join(said) + (f"; {ground}" if ground else "")

    def __str__(self) -> str:
        lines = [self.sentence()]
        if self.lower_bound is not None and self.excess is not None:
            lines.append(f"  lower bound {self.lower_bound:.10g}, excess {self.excess:.3g}")
        if self.escape is not None:
            lines.append(f"  way out: a direction of descent, [{len(self.escape)}], in `escape`")
        if self.polished is not None:
            first, *rest = str(self.polished).splitlines()
            lines += [f"  leads, {self.moved:.2g} away, to: {first}", *(f"  {line}" for line in rest)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        named = (("loss", self.loss, ".12g"), ("lower bound", self.lower_bound, ".10g"), ("excess", self.excess, ".3g"),
                 ("gradient norm", self.grad_norm, ".1e"), ("least curvature", self.min_curvature, ".4g"),
                 ("margin", self.margin, ".3g"))  # fmt: skip
        rows: list[tuple[str, Any]] = [("label", markup.labelled(self.label, self.flavour))]
        rows += [("evidence", f"{self.evidence} by {self.by}")] if self.evidence else []
        rows += [(name, format(value, form)) for name, value, form in named if value is not None]
        if self.wider is not None and self.flavour == Flavour.FOR_THIS_WIDTH:
            rows.append(("wider networks go lower by", f"{self.wider:.3g}"))
        rows += [("reason", self.reason)] if self.reason else []
        rows += [("way out", "a direction of descent, in escape")] if self.escape is not None else []
        if self.polished is not None:
            rows.append((f"leads, {self.moved:.2g} away, to", markup.Html(self.polished._repr_html_())))
        return markup.facts(rows)

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape label --json` prints for this point."""
        names = ("label", "flavour", "evidence", "by", "loss", "lower_bound", "excess", "wider", "grad_norm",
                 "min_curvature", "escape", "reason")  # fmt: skip
        out: dict[str, Any] = {name: getattr(self, name) for name in names}
        out["label"] = str(self.label)
        out["flavour"] = None if self.flavour is None else str(self.flavour)
        out["evidence"] = None if self.evidence is None else str(self.evidence)
        out["escape"] = None if self.escape is None else np.asarray(self.escape).tolist()
        out["polished"] = None
        if self.polished is not None:
            out["polished"] = {**self.polished.as_dict(), "moved": self.moved}
        return out


class Interval(NamedTuple):
    """What a number lies between, and on which grounds.

    Attributes:
        low: It is no less.
        high: It is no more; inf where nothing bounds it.
        low_by: What bounds it from below.
        high_by: What bounds it from above.
    """

    low: float
    high: float
    low_by: str
    high_by: str


class InputError(ValueError):
    """Bad input: a sentence that says what was expected, what was found, and the way out (exit status 2).

    What was found may be of any length; in the sentence it is one line, its long words cut.
    """

    def __init__(self, sentence: str) -> None:
        super().__init__(shortened(sentence, word=200, most=1000))


def version_of(package: str) -> str:
    """The version of an installed package; "unknown" of this one where it runs from its sources."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import, and start-up needs none

    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def shortened(text: Any, word: int = 40, most: int = 80) -> str:
    """The text on one line, no word longer than `word` characters and in all no longer than `most`."""
    tail = word // 4  # kept of a long word, since a path ends with what matters
    words = (one if len(one) <= word else f"{one[: word - tail - 3]}...{one[-tail:]}" for one in str(text).split())
    line = " ".join(words)
    return line if len(line) <= most else line[: most - 3] + "..."


def _scalar(value: Any) -> int | float | None:
    """A Python number for a number of any library, 0-dimensional arrays among them; None for what is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        array = np.asarray(value)
    except Exception:  # a foreign object may raise anything when it is asked for an array
        return None
    return array.item() if array.ndim == 0 and array.dtype.kind in "iuf" else None


def whole(name: str, value: Any, least: int, most: int = 2**31 - 1) -> int:
    """The value as an int.

    Raises:
        InputError: It is not a whole number, or is below `least` or above `most`.
    """
    number = _scalar(value)
    if isinstance(number, int) or (isinstance(number, float) and number.is_integer()):
        if least <= number <= most:
            return int(number)
        if number > most:
            raise InputError(f"{name} must be at most {most}, found {shortened(value)}.")
    raise InputError(f"{name} must be a whole number of at least {least}, found {shortened(value)}.")


def real(name: str, value: Any, above: float | None = None, least: float | None = None) -> float:
    """The value as a float.

    Raises:
        InputError: It is not a finite number, or not above `above`, or below `least`.
    """
    number = _scalar(value)
    wanted = (
        "a positive number"
        if above == 0
        else f"a number above {above:g}"
        if above is not None
        else ("a finite number" if least is None else f"a number of at least {least:g}")
    )
    if number is None or not abs(number) <= sys.float_info.max:
        raise InputError(f"{name} must be {wanted}, found {shortened(value)}.")
    if (above is not None and not number > above) or (least is not None and not number >= least):
        raise InputError(f"{name} must be {wanted}, found {shortened(value)}.")
    return float(number)


def one_of(name: str, value: Any, known: Iterable[str], more: str = "") -> str:
    """The value, a name.

    Raises:
        InputError: It is none of the known names.
    """
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value).lower(), list(known), n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"{name} {shortened(value)!r} is unknown; known are {', '.join(known)}{more}{hint}.")


def numbers(values: Any, name: str) -> np.ndarray:
    """The values as a float64 array.

    Words that look like numbers, complex numbers, and booleans within lists are no numbers; an array of booleans is one
    of zeros and ones.

    Raises:
        InputError: They are not numbers in a regular shape, or one is not finite.
    """
    try:
        array = np.asarray(plain(values))
        known = array.dtype.kind in "iufb" or array.dtype.name.startswith(("bfloat", "float"))
        if not known and not (array.dtype.kind == "O" and all(_scalar(one) is not None for one in array.flat)):
            raise TypeError
        if isinstance(values, bool) or (isinstance(values, list | tuple) and _holds_booleans(values)):
            raise TypeError
        array = np.array(array, np.float64)
    except Exception:  # a foreign object may raise anything when it is asked for an array
        raise InputError(f"{name} must be an array of numbers, all rows of one length.") from None
    if not np.all(np.isfinite(array)):
        where = "".join(f"[{i}]" for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name}{where} is {array[~np.isfinite(array)][0]}; every entry must be finite.")
    return array


def plain(values: Any) -> Any:
    """The numbers of a PyTorch tensor, without its gradient and on the host; anything else as it is."""
    if not all(callable(getattr(values, name, None)) for name in ("detach", "cpu", "numpy", "is_floating_point")):
        return values
    values = values.detach().cpu()
    return (values.double() if values.is_floating_point() else values).numpy()


def must_fit(what: str, needed: float) -> None:
    """Raises InputError unless so many bytes fit into this machine's memory, as far as its system says."""
    try:
        there = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return
    if needed > there:
        raise InputError(
            f"{what} need {needed / 2**30:.3g} GiB of memory and this machine has {there / 2**30:.3g} GiB; use fewer."
        )


def dimensions(values: Any) -> int | None:
    """The number of axes of an array of any library or a nested list, None for what is neither."""
    try:
        return np.ndim(values)
    except Exception:  # a foreign object may raise anything when it is asked for an array
        return None


def _holds_booleans(values: Any) -> bool:
    """Whether a list of lists has a boolean somewhere."""
    kinds = set(map(type, values))
    nested = any(issubclass(kind, list | tuple) for kind in kinds)
    return bool in kinds or (nested and any(_holds_booleans(one) for one in values if isinstance(one, list | tuple)))
