"""A table of censuses of several widths on one data set."""

from __future__ import annotations

from typing import Any

from landscape.studies.data_findings import minima_listed, theory_said
from landscape.studies.table import Table
from landscape.theory.convex.optimal_set import staircase


class DataTable(Table):
    """Censuses of several widths on one data set."""

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a width: what theory knows, labels, shares, levels, own-cell checks, minima found and missed."""
        return [
            {
                "width": census.problem["width"],
                **{name: census.findings.get(name) for name in ("theory", "own_cells", "minima")},
                "restarts": census.restarts,
                "finished": census.finished,
                "labels": census.labels(),
                "shares": census.shares(),
                "levels": [level.as_dict() for level in census.levels],
                "best_seen": census.best_seen,
                "basins": census.findings["basins"],
                "unseen_mass": census.unseen[0],
                "seconds": census.seconds["total"],
            }
            for census in self.censuses
            if census.finished
        ]

    def stairs(self) -> list[dict[str, Any]]:
        """How connected the global minima are, by width; empty where m* is not known."""
        known = self.censuses[0].findings.get("theory")
        if known is None or known["m_star"] is None:
            return []
        steps = staircase(known["m_star"], known["M_star"], known["rows"])
        return [{"least": step.least, "most": step.most, "statement": step.statement} for step in steps]

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape run --json` prints."""
        said = super().as_dict()
        facts = {name: self.censuses[0].problem[name] for name in ("rows", "dimension", "loss", "weight_decay")}
        said["problem"] |= facts
        said["findings"] |= {"theory": self.censuses[0].findings.get("theory"), "staircase": self.stairs()}
        return said

    def __str__(self) -> str:
        head = ("width", "restarts", "global [95%]", "spurious", "saddle", "trap", "others", "least loss", "P_m",
                "own cells", "minima", "missed", "seconds")  # fmt: skip
        rows, cells_ = [], self.cell_dicts()
        for cell in cells_:
            labels, good, known = cell["labels"], cell["shares"]["global"], cell["theory"]
            minima, own = cell["minima"], cell["own_cells"]
            named = sum(labels[name] for name in ("global", "spurious", "saddle", "trap"))
            rows.append(
                (
                    str(cell["width"]),
                    str(cell["finished"]),
                    f"{100 * good['share']:.1f}% [{100 * good['low']:.1f}, {100 * good['high']:.1f}]",
                    *(str(labels[name]) for name in ("spurious", "saddle", "trap")),
                    str(cell["finished"] - named),
                    "-" if cell["best_seen"] is None else f"{cell['best_seen']:.9f}",
                    "-" if known is None or known["P_m"] is None else f"{known['P_m']:.9f}",
                    "-" if own is None else f"{own['largest_difference']:.0e}",
                    "-" if minima is None else minima_listed(minima),
                    "-" if minima is None else str(minima["missed"]),
                    f"{cell['seconds']:.1f}",
                )
            )
        known = cells_[0]["theory"] if cells_ else None
        lines = [f"loss: {self.censuses[0].problem['normalisation']}", "", self.printed([head, *rows])]
        if known is not None:
            lines.append(theory_said(known))
            lines.append(
                "P_m: least loss of the width; own cells: largest difference from the optimum of points' own cells"
            )
        if self.study == "critical-width" and self.stairs():
            lines.append("the global minima of a width are")
        for step in self.stairs() if self.study == "critical-width" else []:
            most = "" if step["most"] == step["least"] else f" to {step['most']}" if step["most"] else " on"
            lines.append(f"  width {step['least']}{most}: {step['statement']}")
        return "\n".join(lines)
