"""A graph of minima in words: how deep each valley is, and what it shares a component with."""

from __future__ import annotations

import math
from typing import Any

from landscape.census.text import text_table
from landscape.records import Interval
from landscape.topology.graph import Graph, components, depth, with_global
from landscape.topology.merge_tree import merge_tree

SHOWN = 30  # minima and merges that a printed graph shows; the rest is counted
LOOKED_AT = "looked at"  # in the ground of a path whose loss is known at some points only


def answers(graph: Graph) -> dict[str, Any]:
    """What is asked of a graph, as `--json` has it: of each minimum depth and company, and all merges.

    Not known is null: an upper end without a path, a question that bounds do not decide.
    """
    minima = []
    for i, one in enumerate(graph.minima):
        deep = depth(graph, i)
        own = with_global(graph, i)
        minima.append({**one._asdict(), "depth": None if deep is None else interval(deep), "with_global": own})
    tree = merge_tree(graph)
    merges = [{"level": interval(one.level), "minima": list(one.members)} for one in tree.merges]
    return {"nodes": "copies" if graph.copies else "orbits", "minima": minima, "merges": merges,
            "components": len(tree.roots)}  # fmt: skip


def answers_at(graph: Graph, level: float) -> dict[str, Any]:
    """What is asked at a level: how many components hold minima, and which minima share one with a global one.

    `with_global` is null of a minimum where bounds do not decide; minima above the level are not in it.
    """
    least, most = components(graph, level)
    here = [i for i, one in enumerate(graph.minima) if one.loss <= level]
    shares = {str(i): with_global(graph, i, level) for i in here}
    return {"level": level, "components": [least, most], "with_global": shares}


def text_at(graph: Graph, level: float) -> str:
    """The same in words."""
    found = answers_at(graph, level)
    least, most = found["components"]
    many = str(least) if least == most else f"{least} to {most}"
    lines = [f"at level {level:.10g}: components that hold minima: {many}"]
    for answer, words in ((True, "with a global minimum"), (False, "without one"), (None, "not decided")):
        some = [i for i, said in found["with_global"].items() if said is answer]
        if some:
            more = "" if len(some) <= SHOWN else f" and {len(some) - SHOWN} more"
            lines.append(f"  {words}: minima {', '.join(some[:SHOWN])}{more}")
    return "\n".join(lines)


def interval(one: Interval) -> dict[str, Any]:
    """An interval as JSON has it; null for an end that nothing bounds."""
    return {**one._asdict(), "high": one.high if math.isfinite(one.high) else None}


def text(graph: Graph) -> str:
    """A table of the minima, and in how many components they are."""
    word = {True: "yes", False: "no", None: "not decided"}
    rows = [("minimum", "loss", "label", "share", "depth: at least", "at most", "with a global one at its loss")]
    for i, one in enumerate(graph.minima[:SHOWN]):
        deep = depth(graph, i)
        low, high = ("-", "-") if deep is None else (f"{deep.low:.6g}", f"{deep.high:.6g}")
        high = "not known" if high == "inf" else high
        about = (str(i), f"{one.loss:.12g}", one.label, f"{100 * one.share:.1f}%")
        rows.append((*about, low, high, word[with_global(graph, i)]))
    lines = text_table(rows, left=("label",))
    if len(graph.minima) > SHOWN:
        lines.append(f"... and {len(graph.minima) - SHOWN} more minima")
    lines += _merges(graph)
    if graph.minima:
        top = max([graph.minima[-1].loss, *(one.high for one in graph.ways)])
        least, most = components(graph, top)
        many = str(least) if least == most else f"{least} to {most}"
        lines += ["", f"components of the sublevel set at {top:.6g} that hold them: {many}"]
    looked = sum(LOOKED_AT in one.by for one in graph.ways)
    if looked:
        lines.append(f"of {looked} paths the loss was looked at, and is not bounded between the looks")
    what = "copies under the symmetry apart" if graph.copies else "an orbit under the symmetry is one"
    return "\n".join([*lines, f"{len(graph.minima)} minima, {what}; {len(graph.ways)} paths, {len(graph.walls)} walls"])


def _merges(graph: Graph) -> list[str]:
    """A table of the levels at which branches become one, by their lowest minima."""
    tree = merge_tree(graph)
    if not tree.merges:
        return []
    lowest = {i: i for i in range(len(graph.minima))}
    rows = [("branches of minima", "merge: at least", "at most", "path", "from below")]
    for number, one in enumerate(tree.merges):
        left, right = sorted((lowest[one.left], lowest[one.right]))
        lowest[len(graph.minima) + number] = left
        level = one.level
        rows.append((f"{left}, {right}", f"{level.low:.10g}", f"{level.high:.10g}", level.high_by, level.low_by))
    shown = text_table(rows[: SHOWN + 1], left=("path", "from below"))
    rest = len(tree.merges) - SHOWN
    return ["", *shown, *([f"... and {rest} more merges"] if rest > 0 else [])]
