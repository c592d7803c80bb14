"""One BLAS thread for the thin matrix products of an arrangement."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")

T = TypeVar("T")


def one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Run with one BLAS thread: the products here are thin, and on a busy machine more threads cost a factor of ten."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _threads().limit(limits=1):
            return function(*args, **kwargs)

    return run


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()
