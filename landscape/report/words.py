"""What a label says and what it rests on, in sentences."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.census.printed import percent
from landscape.census.statistics import wilson
from landscape.problems.problem import EPS
from landscape.records import Evidence, Label

SAYS = {
    Label.GLOBAL: "No point has a smaller loss.",
    Label.SPURIOUS: "A local minimum that is not global.",
    Label.SADDLE: "Stationary, with a way down.",
    Label.TRAP: "Stationary from one side only: there is a first-order way down that plain descent does not take.",
    Label.AT_INFINITY: "The loss keeps falling while the parameters grow without bound.",
    Label.UNDECIDED: "Stationary; whether it is a minimum, and of which kind, could not be shown.",
    Label.UNCONVERGED: "Not stationary: the budget ran out first.",
}
RESTS = {
    Evidence.PROVED: "Proved, by interval arithmetic or an exact certificate",
    Evidence.CERTIFIED: "Certified: a theorem's inequality holds in floating point, rounding errors included",
    Evidence.NUMERICAL: "Numerical: it rests on tolerances only",
}


def evidence(row: dict[str, Any]) -> list[str]:
    """Sentences on a point: what its label says, what it rests on, and what was measured there.

    Args:
        row: Of the census: label, flavour, evidence, by, margin, reason, grad_norm, min_curvature, moved.
    """
    said = [SAYS[Label(row["label"])]]
    if row["flavour"]:
        said.append(f"More exactly: {row['flavour']}.")
    if row["evidence"]:
        by = f" ({row['by']})" if row["by"] else ""
        margin = "" if row["margin"] is None else f", with a margin of {row['margin']:.2g}"
        said.append(f"{RESTS[Evidence(row['evidence'])]}{by}{margin}.")
    if row["reason"]:
        said.append(f"{row['reason'][:1].upper()}{row['reason'][1:].rstrip('.')}.")
    measured = [f"gradient norm {row['grad_norm']:.1e}"]
    if row["min_curvature"] is not None:
        measured.append(f"least curvature {row['min_curvature']:.4g}")
    said.append(f"{', '.join(measured).capitalize()}.")
    return said


def share(count: int, total: int) -> str:
    """How many restarts ended there, with the share and its interval."""
    return f"{count} of {total} restarts, {percent(count / total, *wilson(count, total))}"


def spectrum(eigenvalues: np.ndarray) -> str:
    """Number and range of eigenvalues, in a sentence."""
    largest = float(np.max(np.abs(eigenvalues)))
    # As in `landscape.spectrum`: what the eigensolver and the entries leave of an exact zero.
    error = (len(eigenvalues) + 16 * np.sqrt(len(eigenvalues))) * EPS * largest * np.sqrt(len(eigenvalues))
    negative = int(np.sum(eigenvalues < -error))
    zeros = int(np.sum(np.abs(eigenvalues) <= error))
    kinds = [f"{negative} negative"] * (negative > 0) + [f"{zeros} zero to rounding"] * (zeros > 0)
    counted = f" ({', '.join(kinds)})" if kinds else ""
    return f"{len(eigenvalues)} eigenvalues{counted}, from {eigenvalues[0]:.3g} to {eigenvalues[-1]:.3g}"
