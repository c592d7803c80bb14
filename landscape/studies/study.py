"""What a study is: a frozen dataclass whose fields are its options, a plan or cells, a result, and figures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, runtime_checkable

from landscape.records import InputError

if TYPE_CHECKING:
    from landscape.engine.plan import Plan
    from landscape.host.cluster import Pool

T = TypeVar("T")
MOST_CELLS = 1000  # of a table: each is a folder, and a line of it


def check_cells(table: str, count: int) -> None:
    """Raises InputError unless a table has at most `MOST_CELLS` cells."""
    if count > MOST_CELLS:
        raise InputError(f"{table} has {count} cells, and {MOST_CELLS} are the most.")


def once(method: Callable[[Any], T]) -> Callable[[Any], T]:
    """Works a method's value out at the first call on an object and keeps it there: a study's fields never change."""
    key = f"once {method.__qualname__}"

    @wraps(method)
    def kept(self: Any) -> T:
        if key not in self.__dict__:
            self.__dict__[key] = method(self)
        return self.__dict__[key]

    return kept


@runtime_checkable
class Result(Protocol):
    """What a study found: prints itself, and becomes what `--json` prints."""

    @property
    def finished(self) -> int:
        """Number of restarts that are done."""
        ...

    @property
    def restarts(self) -> int:
        """Number of restarts in all."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `--json` prints."""
        ...


class Study(ABC):
    """A named study.

    Attributes:
        name: In the command line and in run folders.
        about: One line.
        takes: How long its defaults take on two cores, where that was measured.
        draws: What `landscape plot` draws of it.
        one_process: Whether it runs in one process and cannot be shared among workers.
        traced: Whether it is a run, or a table of runs, whose descents `--trace` can look along.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    takes: ClassVar[str] = "not measured; the progress bar says how long is left"
    draws: ClassVar[str]
    one_process: ClassVar[bool] = False
    traced = False

    @abstractmethod
    def plan(self) -> Plan:
        """The run, for a study without cells; built once.

        Raises:
            InputError: A field makes no sense.
        """

    def cells(self) -> dict[str, Any]:
        """The studies of the single cells by folder, made once; empty for a study that is one run."""
        return {}

    @abstractmethod
    def manifest(self) -> dict[str, Any]:
        """What the run folder says.

        Raises:
            InputError: A field makes no sense.
        """

    @abstractmethod
    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> Any:
        """The `Result`, after what is not in the folder yet is done.

        Args:
            folder: An existing run folder, or None to keep nothing.
            progress: Show a progress bar; by default if standard error is a terminal.
            pool: Who does the restarts; this process where there is none.
        """

    @abstractmethod
    def stored(self, folder: Path) -> Any:
        """The `Result` in a run folder, without running anything.

        Raises:
            InputError: There is none yet.
        """

    @abstractmethod
    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws a result into a folder; the files.

        Raises:
            InputError: There is nothing to draw yet.
        """

    def built_in(self, field: str) -> list[str]:
        """What a field may say that is no name of a file even where there is such a file."""
        return []

    def fields(self) -> dict[str, Any]:
        """The fields as the manifest has them."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Study:
        """The study of a manifest."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in manifest["fields"].items()})


def check_drawable(result: Any, folder: Path) -> None:
    """Raises InputError unless a restart is finished: nothing else can be drawn."""
    if not result.finished:
        raise InputError(f"no restart is finished yet; `landscape resume {folder.parent}` goes on.")
