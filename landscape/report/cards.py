"""The distinct ends of a census, a card each: weights, spectrum, share, label and its evidence."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.census.census import Census
from landscape.census.levels import class_ids
from landscape.census.printed import number
from landscape.markup import Html, labelled, text
from landscape.polish import evaluate
from landscape.report import pictures, words

MOST_CARDS = 500
MOST_COORDINATES = 400  # of theta: with more, a spectrum takes seconds and is no picture
PRINTED = 400  # weights of one matrix that are also written as numbers


class End(NamedTuple):
    """One distinct end: an orbit, or a class of points that are not isolated.

    Attributes:
        restart: Whose end the point is.
        row: Of the census, by column.
        count: Restarts that ended there.
        matrices: Its weights by name, each [rows, columns]; empty where the problem is not known.
        eigenvalues: Of the Hessian, ascending; None where they are not those that the census speaks of.
    """

    restart: int
    row: dict[str, Any]
    count: int
    matrices: dict[str, np.ndarray]
    eigenvalues: np.ndarray | None


def ends(census: Census, most: int = MOST_CARDS) -> tuple[list[End], int]:
    """The distinct ends whose weights are kept, from the lowest loss, and how many there are in all.

    Of more than `most` the most frequent are taken.
    """
    problem = None if census.plan is None else census.plan.problem
    rows = census.rows
    kind = class_ids(rows, 1.0 if problem is None else problem.loss_unit)
    counts = np.bincount(kind) if len(kind) else kind
    kept = np.flatnonzero(np.isin(rows["restart"], list(census.weights)))
    often = kept[np.argsort(-counts[kind[kept]], kind="stable")][:most]
    found = []
    for i in often[np.argsort(rows["loss"][often], kind="stable")]:
        row = {name: _plain(column[i]) for name, column in rows.items()}
        theta = census.weights[row["restart"]]
        matrices = {} if problem is None else problem.matrices(theta)
        found.append(End(row["restart"], row, int(counts[kind[i]]), matrices, _eigenvalues(problem, theta, row)))
    return found, len(kept)


def _plain(value: Any) -> Any:
    """A cell of a column as Python has it; not-a-number becomes None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and value != value else value


def _eigenvalues(problem: Any, theta: np.ndarray, row: dict[str, Any]) -> np.ndarray | None:
    """The Hessian's eigenvalues, where the least of them is the curvature that the census has.

    At kinks the Hessian of one side is not what a label rests on: there the two do not agree.
    """
    if problem is None or len(theta) > MOST_COORDINATES or row["min_curvature"] is None:
        return None
    _, hessian = evaluate(problem, theta)
    if not np.all(np.isfinite(hessian)):
        return None
    values = np.linalg.eigvalsh(hessian)
    # Both come from one Hessian and one eigensolver, in batches of other sizes: they agree to rounding.
    agree = abs(values[0] - row["min_curvature"]) <= 1e-9 * max(abs(values[0]), abs(values[-1]))
    return values if agree else None


def cards(found: list[End], finished: int) -> Html:
    """The cards of these ends.

    Args:
        found: From the lowest loss.
        finished: Restarts of the census.
    """
    sizes = [np.abs(matrix).ravel() for end in found for matrix in end.matrices.values() if matrix.size]
    # A few very large weights shall not make all the others white.
    largest = float(np.quantile(np.concatenate(sizes), 0.99)) if sizes else 1.0
    spread = max((float(np.max(np.abs(e.eigenvalues))) for e in found if e.eigenvalues is not None), default=1.0)
    each = [_card(i, end, finished, largest or 1.0, spread or 1.0) for i, end in enumerate(found, 1)]
    return Html("\n".join(each))


def _card(place: int, end: End, finished: int, largest: float, spread: float) -> str:
    label, loss = end.row["label"], end.row["loss"]
    parts = [
        f'<h3 id="end-{place}">{labelled(label.replace("_", " "), end.row["flavour"], label)}</h3>',
        f'<p class="loss">loss {text("-" if loss is None else number(loss))}</p>',
        f"<p>{text(words.share(end.count, finished))}</p>",
        *[_weights(name, matrix, largest) for name, matrix in end.matrices.items()],
    ]
    if end.eigenvalues is not None:
        said = words.spectrum(end.eigenvalues)
        parts.append(
            f"<figure>{pictures.sticks(end.eigenvalues, spread, said)}<figcaption>{text(said)}</figcaption></figure>"
        )
    parts.append(f'<p class="evidence">{text(" ".join(words.evidence(end.row)))}</p>')
    parts.append(f'<p class="small">restart {end.restart}</p>')
    return f'<article class="card is-{label}" aria-labelledby="end-{place}">{"".join(parts)}</article>'


def _weights(name: str, matrix: np.ndarray, largest: float) -> str:
    if not matrix.size:
        return ""
    if matrix.size <= 4:
        numbers = "; ".join(" ".join(f"{value:.6g}" for value in row) for row in matrix)
        return f"<p>{text(name)}: {text(numbers)}</p>"
    if matrix.size > pictures.MOST_WEIGHTS:
        return f"<p>{text(name)}: {matrix.size} weights, too many to draw</p>"
    drawn = _figure(pictures.heat_map(matrix, largest, name), name)
    if matrix.size > PRINTED:
        return drawn
    numbers = "\n".join(" ".join(f"{value:7.3f}" for value in row + 0.0) for row in matrix)
    return f"{drawn}<details><summary>{text(name)} in numbers</summary><pre>{numbers}</pre></details>"


def _figure(picture: Html, said: str) -> str:
    return f"<figure>{picture}<figcaption>{text(said)}</figcaption></figure>"
