"""Labels of the points in a file, and better networks, in sentences."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from landscape.cli.arguments import OK, flag, option, positional, use_64_bits
from landscape.records import Flavour, InputError, Label

# What leads down from a spurious minimum of each flavour; from one that is flat by rescaling alone nothing is known to.
WAYS_OUT = {
    Flavour.STRICT: "none without a rise of the loss; --improve prints a better network",
    Flavour.ESCAPABLE: "merge neurons at constant loss until one is free, then down; --improve does it",
    Flavour.NOT_CLEAR: "not clear: merging neurons may free one at constant loss; --improve tries",
}

HELP = """\
usage: landscape label FILE [options]

Labels the points in a JSON or npz file: networks on data, students of a teacher, neurons on lines. `landscape guide
files` has the fields.

  --json             print one JSON value and nothing else
  --improve          of networks on data: better ones, weights included
  --optimiser NAME   follow a point that is not stationary to the end of a descent
  --seconds S        searches for optima end then, with the bounds that they have
  --quiet            no line that says what is searched for

Of a two-layer network of another library FILE has the weights (.safetensors, .pt with a state_dict, npz, JSON):

  --data FILE        x and y, in npz or JSON; the file may say the rest, too
  --activation NAME  relu, tanh, ...
  --weight-decay B   as it was trained with; 0 if there was none
  --reduction KIND   what that was added to: mean (MSELoss()), sum, or sum_half (1/2 sum)
  --bias KIND        regularised (weight decay acts on biases, PyTorch's way), or free
  --loss NAME        squared, logistic or huber

`landscape guide finite-data` says which loss goes with which weight decay.
"""


def label(arguments: list[str]) -> int:
    as_json, better, quiet = flag(arguments, "--json"), flag(arguments, "--improve"), flag(arguments, "--quiet")
    seconds, optimiser = _number("seconds", option(arguments, "--seconds")), option(arguments, "--optimiser")
    data, decay = option(arguments, "--data"), option(arguments, "--weight-decay")
    words = {name: option(arguments, f"--{name}") for name in ("reduction", "bias", "activation", "loss")}
    if arguments and arguments[0] in ("-h", "--help"):
        print(HELP, end="")
        return OK
    usage = "label FILE [options]; `landscape label --help` lists them"
    (where,) = positional(arguments, usage, exactly=1)
    use_64_bits()
    from landscape.engine.settings import Settings
    from landscape.host import interrupt
    from landscape.host.label import improve, labels, within
    from landscape.host.models import read
    from landscape.host.points import in_order
    from landscape.host.progress import spoken
    from landscape.theory.wide_enough import wide_enough

    facts = {"weight_decay": _number("weight_decay", decay), **words}
    problem, points, order = read(Path(where), None if data is None else Path(data), **facts)
    if better and problem.rows is None:
        raise InputError(f"--improve is for networks on a data set; {where} has none.")
    settings = None if optimiser is None else Settings.of(problem, optimiser=optimiser)
    if settings is not None:
        settings.method(problem.scale)  # a name that nobody knows is said before anything is labelled
    thetas = [problem.write(point) for point in points]
    with spoken(False if quiet else None) as hear, within(seconds, hear, interrupt.requested) as watch:
        verdicts = [in_order(one, order) for one in labels(problem, thetas, settings, seconds)]
        improved = [improve(problem, point) if better else None for point in points[: len(verdicts)]]  # type: ignore[arg-type]
    if watch.ended:
        left = "" if len(verdicts) == len(points) else f"; {len(points) - len(verdicts)} points were not looked at"
        print(f"landscape: searches ended early, so that bounds are intervals{left}.", file=sys.stderr)
    valleys = wide_enough(problem)
    if as_json:
        more = {"no_spurious_valley": valleys.sentence} if valleys.holds else {}
        said = [
            v.as_dict() | more | ({} if i is None else {"improve": i.as_dict()})
            for v, i in zip(verdicts, improved, strict=True)
        ]
        print(json.dumps(said, allow_nan=False))
        return OK
    if data is not None:
        print(f"network: {_network(problem)}")
    if problem.rows is not None:
        print(f"loss: {problem.normalisation}")
    if valleys.dimension is not None:
        print(f"valleys: {valleys.sentence}")
    for i, (verdict, found) in enumerate(zip(verdicts, improved, strict=True)):
        print(f"point {i}: {verdict.sentence()}")
        _more(verdict, problem)
        if verdict.polished is not None:
            print(f"  leads, {verdict.moved:.2g} away, to: {verdict.polished.sentence()}")
            _more(verdict.polished, problem, "    ")
        if found is not None:
            _improvement(found)
    return OK


def _network(problem: Any) -> str:
    """What a model was taken for."""
    facts = problem.facts()
    inputs = facts["dimension"] - (facts["bias"] != "none")
    biases = ", ".join(
        f"{name} {facts[key]}" for name, key in (("hidden biases", "bias"), ("outer bias", "outer_bias"))
    )
    return f"{inputs} inputs, {problem.width} neurons, {facts['activation']}; {biases}; {facts['rows']} rows"


def _number(name: str, said: str | None) -> float | None:
    """The number after an option.

    Raises:
        InputError: It is none.
    """
    try:
        return None if said is None else float(said)
    except ValueError:
        raise InputError(f"{name} must be a positive number, found {said}.") from None


def _more(verdict: Any, problem: Any, indent: str = "  ") -> None:
    """Bounds and ways out of a point on a data set, in lines."""
    if problem.rows is None:
        return
    bound = f"{indent}lower bound {verdict.lower_bound:.10g}, excess {verdict.excess:.3g}"
    if verdict.lower_bound > 0:
        bound += f" ({100 * verdict.excess / verdict.lower_bound:.3g}%)"
    if verdict.wider is not None and verdict.flavour == Flavour.FOR_THIS_WIDTH:
        bound += f"; wider networks go {verdict.wider:.3g} lower"
    print(bound)
    if verdict.min_curvature is not None:
        print(f"{indent}curvature {verdict.min_curvature:.3g} along a new neuron")
    if verdict.escape is not None:
        print(f"{indent}way out: {_where(problem, verdict.escape)}")
    elif verdict.label == Label.SPURIOUS and verdict.flavour in WAYS_OUT:
        print(f"{indent}way out: {WAYS_OUT[Flavour(verdict.flavour)]}")


def _where(problem: Any, escape: Any) -> str:
    """Which weights a step changes, and how."""
    import numpy as np

    m, d = problem.width, problem.d
    hidden, outer = escape[: m * d].reshape(m, d), escape[m * d : m * (d + 1)]
    moved = np.flatnonzero(np.any(hidden != 0, axis=1) | (outer != 0))
    steps = [f"neuron {j}: hidden {_vector(hidden[j])}, outer {outer[j]:+.3g}" for j in moved[:3]]
    return "add to " + "; ".join(steps) + (f"; and {len(moved) - 3} more" if len(moved) > 3 else "")


def _vector(row: Any) -> str:
    return "[" + ", ".join(f"{x:+.3g}" for x in row[:6]) + (", ..." if len(row) > 6 else "") + "]"


def _improvement(found: Any) -> None:
    """Better networks, weights included."""
    print(f"  global optimum: loss {found.optimum.loss:.12g}, gap {max(found.gap, 0.0):.1e}, "
          f"{len(found.optimum.params.hidden)} neurons")  # fmt: skip
    for network in (found.optimum, found.best_of_width, found.next):
        if network is None or (network is found.best_of_width and network.loss <= found.optimum.loss * (1 + 1e-12)):
            continue
        if network is not found.optimum:
            print(f"  {network.how}: loss {network.loss:.12g}, {len(network.params.hidden)} neurons")
        for j, (w, a) in enumerate(zip(network.params.hidden, network.params.outer, strict=True)):
            b = "" if network.params.hidden_bias is None else f", bias {network.params.hidden_bias[j]:+.6g}"
            print(f"    hidden {_vector(w)}{b}, outer {a:+.6g}")
        if network.params.outer_bias is not None:
            print(f"    outer bias {network.params.outer_bias:+.6g}")
