"""Shards of a run that is kept nowhere."""

from __future__ import annotations

import numpy as np

from landscape.census import assemble
from landscape.host import store

NOTHING = store.Shards({"restart": np.zeros(0, np.int64)}, {}, [])


class Memory:
    """Shards of one run: rows with equal texts as one object, weights of one member a class."""

    def __init__(self, unit: float = 1.0):
        self._unit = unit  # of the loss
        self._rows: list[dict[str, np.ndarray]] = []
        self._bearing: dict[str, np.ndarray] = {}  # the rows that have weights
        self._weights: dict[int, np.ndarray] = {}
        self._words: dict[str | None, str | None] = {}

    def append(self, rows: dict[str, np.ndarray], weights: dict[int, np.ndarray]) -> None:
        """Takes a shard."""
        rows = {name: self._shared(column) if column.dtype == object else column for name, column in rows.items()}
        self._rows.append(rows)
        new = np.isin(rows["restart"], list(weights))
        bearing = {
            name: np.concatenate([self._bearing[name], column[new]]) if self._bearing else column[new]
            for name, column in rows.items()
        }
        chosen = assemble.keepers(bearing, self._unit)
        self._bearing = {name: column[chosen] for name, column in bearing.items()}
        both = self._weights | weights
        self._weights = {int(i): both[int(i)] for i in self._bearing["restart"]}

    def _shared(self, column: np.ndarray) -> np.ndarray:
        entries = column.tolist()
        return np.array([self._words.setdefault(word, word) for word in entries], object)

    def shards(self) -> store.Shards:
        """All of it, each restart once, ascending."""
        if not self._rows:
            return NOTHING
        restart = np.concatenate([rows["restart"] for rows in self._rows])
        # An interrupt between taking a shard and saying so makes it come twice.
        once = np.unique(restart, return_index=True)[1]
        names = list(self._rows[0])
        columns = {name: np.concatenate([rows.pop(name) for rows in self._rows])[once] for name in names}
        return store.Shards(columns, self._weights, [])
