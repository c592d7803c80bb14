"""A loss of the gallery: descents on a landscape whose critical points are known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.studies.descents import Descents

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.problems.from_loss import UserLoss


@dataclass(frozen=True)
class Gallery(Descents):
    """Descents on a loss of the gallery, beside the points that are known of it.

    Attributes:
        loss: Its name in the gallery: `landscape run gallery NAME`.
        step_size: 0 for the loss's own: 0.1 where curvatures between starts are ordinary.
    """

    name: ClassVar[str] = "gallery"
    about: ClassVar[str] = "losses with known critical points: test functions, kinks, particles, small networks"
    draws: ClassVar[str] = "loss levels, Hessian spectra and descents of the loss"

    restarts: int = 200
    step_size: float = 0.0
    loss: str = "rosenbrock"

    def problem(self) -> UserLoss:
        """The landscape.

        Raises:
            InputError: The gallery has no loss of this name.
        """
        from landscape import gallery

        return gallery.problem(self.loss)

    def title(self, problem: UserLoss) -> str:
        """Beside the progress bar."""
        return self.loss

    def built_in(self, field: str) -> list[str]:
        """The names of the losses."""
        from landscape import gallery

        return list(gallery.examples()) if field == "loss" else []

    def findings(self, census: Census) -> dict[str, Any]:
        """The known points with their losses, and where they are known from."""
        from landscape import gallery

        example, problem = gallery.examples()[self.loss], self.plan().problem
        known = [
            {"label": str(one.label), "minimum": one.minimum, "loss": float(problem.loss(problem.write(one.params)))}
            for one in example.points
        ]
        return {"known": known, "source": example.source}

    def sentences(self, findings: dict[str, Any], finished: int) -> list[str]:
        """What is known, a line each kind and loss."""
        lines = []
        for one in findings["known"]:
            kind = one["label"] if one["minimum"] is None else f"{one['label']} ({one['minimum']})"
            lines.append(f"known: {kind} at loss {one['loss']:.6g}")
        return [*dict.fromkeys(lines), f"source: {findings['source']}"]
