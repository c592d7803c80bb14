"""How restarts are made, run and stopped, and what counts as what."""

from __future__ import annotations

from typing import NamedTuple

import optax

from landscape import descent
from landscape.descent import Method
from landscape.problems.problem import Problem
from landscape.records import InputError, real, whole


class Settings(NamedTuple):
    """How restarts are made, run and stopped. Defaults are Safran and Shamir's (2017) protocol where it says.

    Attributes:
        init: Distribution of the starts (see `start_points`); "xavier" is N(0, 1/d), the paper's.
        init_scale: Multiplies the starts.
        optimiser: A name of `descent.OPTIMISERS` or any optax transformation.
        step_size: 0.1, the paper's.
        tolerance: Largest local error of a step of "flow", times the problem's scale. At 0.003, 99% of restarts and
            more end where descent with step 0.02 does, and smaller ones bring no more.
        budget: Gradients of one restart before it is given up as unconverged, or finished where that leads to a minimum
            from anywhere: on lines. The paper has none; at width k + 1 its stop takes 200,000 steps and more.
        retire: A lane is first offered to the polish at this gradient norm, times the problem's own; each time the
            polish refuses, at a tenth of it. Where minima are isolated as a rule (`Problem.isolated`), what is shown at
            ten times the norm is accepted there, but for descents in float32.
        lanes: Restarts that run at once; 0 for 4096 on a CPU, down to 512 from 512 coordinates on, and 16384 elsewhere.
            Labels do not depend on it.
        dtype: Of the descent; polish, spectrum and labels are always in float64, and so is the end of a descent in
            float32 whose gradient there is rounding.
    """

    init: str = "xavier"
    init_scale: float = 1.0
    optimiser: str | optax.GradientTransformation = "gradient-descent"
    step_size: float = 0.1
    tolerance: float = 0.003
    budget: int = 200_000
    retire: float = 1e-5
    lanes: int = 0
    dtype: str = "float64"

    @classmethod
    def of(cls, problem: Problem, **given: object) -> Settings:
        """The settings for a problem: its own defaults, and over them what is given.

        Where the problem has a step of its own, methods whose step is a length take a tenth of its scale instead.

        Raises:
            InputError: A setting is unknown or makes no sense.
        """
        unknown = sorted(set(given) - set(cls._fields))
        if unknown:
            raise InputError(f"setting {unknown[0]!r} is unknown; known are {', '.join(cls._fields)}.")
        own = problem.defaults()
        if "step_size" in own and given.get("optimiser") in descent.LENGTHS:
            own["step_size"] = 0.1 * problem.scale
        return cls(**{**own, **given}).check()  # pyright: ignore[reportArgumentType]

    def check(self) -> Settings:
        """These settings.

        Raises:
            InputError: A number is not positive, or the dtype is unknown.
        """
        whole("budget", self.budget, 1)
        whole("lanes", self.lanes, 0)
        for name in ("init_scale", "step_size", "tolerance", "retire"):
            real(name, getattr(self, name), above=0)
        if self.dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, found {self.dtype!r}.")
        return self

    def method(self, scale: float = 1.0) -> Method:
        """The way down these settings name.

        Args:
            scale: Of the problem.

        Raises:
            InputError: There is none of that name.
        """
        if isinstance(self.optimiser, str):
            return descent.method(self.optimiser, self.step_size, self.tolerance, scale)
        return descent.Optax(self.optimiser)


class Tolerances(NamedTuple):
    """What counts as an end of a descent, and as one point.

    Attributes:
        target: Gradient norm of a polished point, times the problem's gradient scale.
        reach: Longest way of the polish, times the problem's scale.
        close: Longest distance at which a known minimum is recognised and a numerical basin believed, times the scale.
        same_point: Distance of two points that are one, times the scale. Polished points of one orbit agree to
            target / curvature, 1e-8 at a curvature of 1e-4.
        stationary: Gradient norm of the last offer to the polish, times the gradient scale: below Safran and Shamir's
            stop, 1e-9 / (2 pi) a neuron.
        single: 2 eps of float32: a float32 gradient of p numbers below p times this may be rounding (seen: a tenth).
    """

    target: float = 1e-12
    reach: float = 0.1
    close: float = 0.01
    same_point: float = 1e-7
    stationary: float = 1e-10
    single: float = 2.4e-7


class Schedule(NamedTuple):
    """When lanes are looked at, and when a descent has come to nothing.

    Attributes:
        settle: A descent whose loss has not fallen in so many gradients goes back and forth: its step is too long.
        still: Gradients between two looks at whether a descent that is finished exactly falls at all.
        fall: Fraction of its excess that such a descent falls in so many gradients; with less it stands between kinks.
            1e-9 leads to the same minima as 1e-3.
        several: Candidates of different losses that are polished before the others are looked at again.
        together: Candidates that wait for each other before known minima are laid over them, while new restarts begin.
        block: Lanes of a block on an accelerator; the last stragglers cost no more than one.
        wide: Numbers of blocks that are computed as one there while so many are full; each divides the one before. On
            an H200 2048 lanes take 15 ms a chunk of the flow at k = n = 20, and 8192 take 48: fewer at once leave it
            idle, more bring nothing.
        tail: Lanes of the block for the last stragglers on a CPU.
        patience: Gradients times lanes that a block goes on for beside its last stragglers, before they get the narrow
            one: that costs about as much as the compilation for the narrow one.
        halvings: How often a diverging restart is begun again with half the step.
    """

    settle: int = 2040
    still: int = 480
    fall: float = 1e-3
    several: int = 16
    together: int = 64
    block: int = 256
    wide: tuple[int, ...] = (32, 8)
    tail: int = 4
    patience: int = 500_000
    halvings: int = 10


class Progress(NamedTuple):
    """What is known between two chunks.

    Attributes:
        done: Restarts finished in this call.
        total: Restarts to do in this call.
        labels: How many have each label so far.
        seconds: Since the call began.
    """

    done: int
    total: int
    labels: dict[str, int]
    seconds: float
