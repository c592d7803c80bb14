"""Families of spurious minima against the size of the teacher, beside the minima that restarts find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError, whole
from landscape.studies.descents import Descents
from landscape.studies.study import check_drawable, once
from landscape.studies.table import Table
from landscape.studies.teachers import SafranShamir

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.theory.local_convergence.families import Member

SAME = 1e-6  # distance of an end from a member of a family that is the same point: both are exact to about 1e-9


@dataclass(frozen=True)
class SpuriousFamilies(Descents):
    """Families A, I, II and p|k-p of spurious minima, and how often descents at n = k end at each.

    Attributes:
        teachers: Values of k.
    """

    name: ClassVar[str] = "spurious-families"
    about: ClassVar[str] = "Arjevani and Field 2020-22: families of spurious minima as k grows, and what restarts find"
    takes: ClassVar[str] = "45 s of processor time"
    draws: ClassVar[str] = "losses and least eigenvalues of the families against k, with the ends of descents"

    restarts: int = 200
    teachers: tuple[int, ...] = (6, 7, 8, 9, 10, 12, 14)

    @once
    def cells(self) -> dict[str, SafranShamir]:
        """The studies of the single cells by folder.

        Raises:
            InputError: There are none, or a size makes no sense.
        """
        if not self.teachers:
            raise InputError("teachers must name at least one size.")
        common = {name: getattr(self, name) for name in Descents.__dataclass_fields__}
        sizes = [whole("teachers", k, 3) for k in self.teachers]
        return {f"k{k:02d}": SafranShamir(teacher=k, width=k, **common) for k in sizes}

    def table(self, censuses: list[Census], folder: Path | None) -> FamilyTable:
        """The cells."""
        return FamilyTable(self.name, censuses, len(self.cells()), None if folder is None else str(folder))

    def figures(self, result: FamilyTable, folder: Path) -> list[Path]:
        """Draws losses and least eigenvalues of the families against k, with the ends of descents."""
        from landscape.figures.families import families
        from landscape.figures.style import save

        check_drawable(result, folder)
        cells = result.cell_dicts()
        return [save(families(cells, branches(cells)), folder / "families.png")]


class FamilyTable(Table):
    """Censuses at n = k, their ends sorted into families."""

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a cell: labels, the families at that k with the descents that ended there, and all other ends."""
        return [
            {
                "teacher": census.problem["teacher"],
                "width": census.problem["width"],
                "restarts": census.restarts,
                "finished": census.finished,
                "labels": census.labels(),
                "shares": census.shares(),
                **sorted_ends(census),
                "unseen_mass": census.unseen[0],
                "seconds": census.seconds["total"],
            }
            for census in self.censuses
            if census.finished
        ]

    def __str__(self) -> str:
        head = ("k", "family", "loss", "least eigenvalue", "descents [95%]")
        rows: list[tuple[str, ...]] = [head]
        for cell in self.cell_dicts():
            k, share = str(cell["teacher"]), cell["shares"]["global"]
            rows.append((k, "global", "0", "-", _percent(share)))
            for one in cell["families"]:
                rows.append((k, one["family"], f"{one['loss']:.12f}", f"{one['least']:+.7f}", _percent(one)))
            for one in cell["others"]:
                words = f"none ({one['label']})"
                rows.append((k, words, f"{one['loss']:.12f}", "-", _percent(one)))
        return self.printed(rows)


def _percent(share: dict[str, float]) -> str:
    return f"{100 * share['share']:.1f}% [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def members(k: int) -> list[Member]:
    """The families whose branches reach size k: A, I and p|k-p up to half of k."""
    from landscape.theory.local_convergence.families import family_member

    found = []
    for family in ("A", "I", *range(1, k // 2 + 1)):
        try:
            found.append(family_member(family, k))
        except InputError:  # the branch ends before k
            continue
    return found


def sorted_ends(census: Census) -> dict[str, Any]:
    """How many descents ended at each family, by orbit and not by loss, and at what else than global minima."""
    from landscape.census.levels import class_ids
    from landscape.census.statistics import share
    from landscape.problems.orbits import same_orbit
    from landscape.problems.teacher_student import orthonormal_teacher
    from landscape.theory.local_convergence.families import family_modes

    k, rows = census.problem["teacher"], census.rows
    symmetry = orthonormal_teacher(k).symmetry
    row_of = {int(restart): i for i, restart in enumerate(rows["restart"])}
    class_of = class_ids(rows)
    families = []
    left = (rows["label"] != "global") & (rows["label"] != "unconverged")
    for member in members(k):
        w = member.matrix().reshape(-1)
        same = {
            int(class_of[row_of[restart]])
            for restart, theta in census.weights.items()
            if abs(rows["loss"][row_of[restart]] - member.loss) < SAME and same_orbit(theta, w, symmetry, SAME)
        }
        there = [i for i in range(census.finished) if int(class_of[i]) in same]
        left[there] = False
        families.append(
            {
                "family": member.family,
                "loss": member.loss,
                "least": family_modes(member)[0].value,
                "count": len(there),
                **share(len(there), census.finished),
            }
        )
    others = [
        {"loss": float(rows["loss"][ends].min()), "label": str(rows["label"][ends][0]), "count": int(ends.sum()),
         **share(int(ends.sum()), census.finished)}
        for ends in (left & (class_of == one) for one in sorted(set(class_of[left].tolist())))
    ]  # fmt: skip
    return {"families": families, "others": sorted(others, key=lambda one: one["loss"])}


def branches(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Losses and least eigenvalues of the families along real k, over the sizes of the cells and a little beyond."""
    import numpy as np

    from landscape.theory.local_convergence.families import family_birth, family_member, family_modes

    names = sorted({one["family"] for cell in cells for one in cell["families"]}, key=lambda name: (len(name), name))
    low, high = min(cell["teacher"] for cell in cells) - 1.0, max(cell["teacher"] for cell in cells) + 1.0
    out = []
    for name in names:
        sizes, born = [], family_birth(name)
        for k in np.linspace(low, high, 49):
            try:
                member = family_member(name, float(k))
            except InputError:  # the branch ends here
                continue
            sizes.append((member.k, member.loss, family_modes(member)[0].value))
        k, loss, least = np.array(sizes).T.tolist()
        out.append({"family": name, "born": born, "k": k, "loss": loss, "least": least})
    return out
