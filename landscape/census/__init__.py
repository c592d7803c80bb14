"""What a run found: its record, the levels and classes of its restarts, and their statistics."""

from landscape.census.census import Census
from landscape.census.levels import Level
from landscape.census.statistics import unseen_mass, wilson

__all__ = ["Census", "Level", "unseen_mass", "wilson"]
