"""A graph of minima in words: how deep each valley is, and what it shares a component with."""

from __future__ import annotations

import math
from typing import Any

from landscape.census.text import text_table
from landscape.records import Interval
from landscape.topology.graph import Graph, components, depth, with_global
from landscape.topology.merge_tree import merge_tree

SHOWN = 30  # minima that a printed graph shows; the rest is counted


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
    if graph.minima:
        top = max([graph.minima[-1].loss, *(one.high for one in graph.ways)])
        least, most = components(graph, top)
        many = str(least) if least == most else f"{least} to {most}"
        lines += ["", f"components of the sublevel set at {top:.6g} that hold them: {many}"]
    what = "copies under the symmetry apart" if graph.copies else "an orbit under the symmetry is one"
    return "\n".join([*lines, f"{len(graph.minima)} minima, {what}; {len(graph.ways)} paths, {len(graph.walls)} walls"])
