"""Settings that a family of problems asks for where nothing else is said: for studies and for `explore` alike.

Plain numbers, so that the command line reads them without JAX; a problem adds the step of its own (`defaults`).
"""

from __future__ import annotations

ON_LINES = {
    # The exact finish of porcupines needs no more, and nearly parallel lines would take 200,000 steps to 1e-5.
    "retire": 1e-4,
    # 200 lines in the plane come near the teacher like 1/t, for ever; from some 20,000 steps on the finish of a descent
    # leads to the minimum that it leads to from 200,000. Where losses fall like exp(-t) all is over by then.
    "budget": 20_000,
}
ON_DATA = {"retire": 1e-4}  # from there on networks on a data set are finished exactly
