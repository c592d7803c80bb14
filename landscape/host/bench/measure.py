"""Kernels, descents and whole censuses, each timed and set beside the machine's limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape.host.bench.asked import Bench
from landscape.host.bench.kernels import BatchedGradient, newton_step
from landscape.host.bench.machine import ensure_memory, out_of_memory
from landscape.host.bench.timing import Timed, repeated, timed
from landscape.host.bench.work import Work, gradient_work, hessian_work, loss_work, newton_work
from landscape.host.explore import explore
from landscape.problems.restart import start_points
from landscape.problems.teacher_student import TeacherStudent, orthonormal_teacher

NEAR = 0.5  # a kernel that reaches this share of a limit is bound by it
HESSIAN_NUMBERS = {"cpu": 2**22, "other": 2**29}  # numbers of Hessians in one batch: 32 MB, and 4 GB on a device


def kernel(
    timer: Callable[..., Timed], batch: int, work: Work, limit: dict[str, Any], dtype: str, quick: bool
) -> dict[str, Any]:
    """Time of one kernel over a batch, its `Work`, and fractions of the limits; what failed says so in `error`.

    Args:
        timer: Measures it, given `repeats` and `least` as in `timed`.
        batch: Points in one call.
        work: Of one point.
        limit: What `limits` found.
        dtype: Of the numbers.
        quick: Few and short repeats.
    """
    try:
        took = timer(repeats=3 if quick else 7, least=0.01 if quick else 0.05)
    except Exception as error:  # `out_of_memory` raises any other again
        return {"batch": batch, "error": out_of_memory(error)}
    return {
        "batch": batch,
        "us": 1e6 * took.seconds / batch,
        "seconds": took.seconds,
        "rounds": list(took.rounds),
        "compile_seconds": took.compile_seconds,
        **fractions(work, took.seconds / batch, limit, dtype),
    }


def fractions(work: Work, seconds: float, limit: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Work done in these seconds as fractions of the machine's limits, and which of them binds."""
    of_matmul = work.matmul / seconds / 1e9 / limit[dtype]["matmul_gflops"]
    of_copy = work.bytes / seconds / 1e9 / limit["copy_gbytes"]
    of_elementwise = work.elementwise / seconds / 1e9 / limit[dtype]["elementwise_gflops"]
    binds = "matrix products" if of_matmul >= of_copy else "copy"
    return {
        "work": work._asdict(),
        "of_matmul": of_matmul,
        "of_copy": of_copy,
        "of_elementwise": of_elementwise,
        "of_limit": max(of_matmul, of_copy),
        "binds": binds if max(of_matmul, of_copy) >= NEAR else "elementwise work",
    }


def cells(asked: Bench, limit: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """One record for each size, dtype and number of restarts."""
    host = jax.local_devices()[0].platform == "cpu"
    for k in asked.sizes:
        problem = orthonormal_teacher(k)
        second = second_order(problem, limit, asked.quick)
        for dtype in asked.dtype:
            rate: float | None = None  # seconds a restart of the last census
            for restarts in asked.restarts:
                cell: dict[str, Any] = {"k": k, "width": k, "restarts": restarts, "dtype": dtype}
                cell |= first_order(problem, restarts, dtype, limit, asked.quick) | second
                count = restarts
                # A small census first says how long the large one takes; an accelerator takes as long for either.
                pilot, census = min(restarts, 64 if k <= 20 else 4), None
                if host and rate is None and pilot < restarts:
                    census = census_or_reason(problem, pilot, dtype, asked)
                    if not isinstance(census, str):
                        rate = (census.seconds["total"] - census.seconds["compile"]) / pilot
                if rate is not None and rate * restarts > asked.limit:
                    # A cell is never without a census: the largest that fits, the pilot at least.
                    count = min(restarts, max(pilot, int(asked.limit / rate)))
                    said = f"{restarts} restarts would take about {rate * restarts:.0f} s, over the limit"
                    cell["left_out"] = said
                if census is None or count != pilot:
                    census = census_or_reason(problem, count, dtype, asked)
                cell["census"] = whole_run(census, count)
                # After the census: nothing compiles in the background any more.
                cell["descent"] = descent(problem, restarts, dtype, limit, asked, cell)
                if "run_seconds" in cell["census"]:
                    rate = cell["census"]["run_seconds"] / count
                yield cell


def _thetas(problem: TeacherStudent, restarts: int, dtype: str) -> Any:
    """A batch of starting points on the device; beyond 1024 the same ones again, which cost the same."""
    few = start_points(problem, 0, np.arange(min(restarts, 1024))).astype(dtype)
    ensure_memory(3.0 * restarts * problem.p * few.itemsize)
    return jnp.resize(jnp.asarray(few), (restarts, problem.p))


def first_order(
    problem: TeacherStudent, restarts: int, dtype: str, limit: dict[str, Any], quick: bool = False
) -> dict[str, Any]:
    """Gradient and loss of a batch of restarts."""
    n, k, d = problem.width, len(problem.teacher), problem.d
    try:
        thetas = jax.block_until_ready(_thetas(problem, restarts, dtype))
    except Exception as error:  # `out_of_memory` raises any other again
        failed = {"batch": restarts, "error": out_of_memory(error)}
        return {"gradient": failed, "loss": failed}

    def gradient_timer(**how: Any) -> Timed:
        gradient = BatchedGradient(problem, thetas)
        return repeated(gradient, gradient.compile_seconds, **how)

    loss_timer = partial(timed, jax.vmap(problem.loss), thetas)
    return {
        "gradient": kernel(gradient_timer, restarts, gradient_work(n, k, d, dtype), limit, dtype, quick),
        "loss": kernel(loss_timer, restarts, loss_work(n, k, d, dtype), limit, dtype, quick),
    }


def second_order(problem: TeacherStudent, limit: dict[str, Any], quick: bool = False) -> dict[str, Any]:
    """Hessian and Newton step, in float64, near a minimum, in batches that fit."""
    n, k, d, p = problem.width, len(problem.teacher), problem.d, problem.p
    host = jax.local_devices()[0].platform == "cpu"
    batch = max(4, min(64 if host else 4096, HESSIAN_NUMBERS["cpu" if host else "other"] // p**2))
    teacher = np.asarray(problem.teacher).reshape(-1)
    near = jnp.asarray(teacher + 1e-4 * np.random.default_rng(0).normal(size=(batch, p)))
    hessian = partial(timed, jax.vmap(problem.hessian), near)
    step = partial(timed, jax.vmap(lambda theta: newton_step(problem, theta)), near)
    return {
        "hessian": kernel(hessian, batch, hessian_work(n, k, d, "float64"), limit, "float64", quick),
        "newton": kernel(step, batch, newton_work(n, k, d, "float64"), limit, "float64", quick),
    }


def census_or_reason(problem: TeacherStudent, restarts: int, dtype: str, asked: Bench, **settings: Any) -> Any:
    """The census, or a sentence where memory ran out."""
    chosen = {"optimiser": asked.optimiser, "lanes": asked.lanes, "dtype": dtype} | settings
    try:
        return explore(problem, restarts, progress=False, **chosen)
    except Exception as error:  # `out_of_memory` raises any other again
        return out_of_memory(error)


def descent(
    problem: TeacherStudent, restarts: int, dtype: str, limit: dict[str, Any], asked: Bench, cell: dict[str, Any]
) -> dict[str, Any]:
    """Gradients a second inside the driver: restarts that nothing stops before their budget runs out.

    Everything the driver does is in the time: filling lanes, looking at them, and taking restarts out.
    """
    bare = cell["gradient"].get("us")
    budget = 100 if asked.quick else 500
    if bare is not None:  # about two seconds of work
        restarts = min(restarts, max(64, int((2e5 if asked.quick else 2e6) / bare / budget)))
    # No gradient is that small: no restart is offered to the polish.
    census = census_or_reason(problem, restarts, dtype, asked, budget=budget, retire=1e-300)
    if isinstance(census, str):
        return {"restarts": restarts, "error": census}
    gradients, seconds = int(np.sum(census.rows["steps"])), census.seconds["total"] - census.seconds["compile"]
    work = gradient_work(problem.width, len(problem.teacher), problem.d, dtype)
    # The limits are those of one device, or of all cores.
    found = {
        "restarts": restarts,
        "gradients": gradients,
        "gradients_per_second": gradients / seconds,
        "us": 1e6 * seconds / gradients,
        "compile_seconds": census.seconds["compile"],
        **fractions(work, len(jax.local_devices()) * seconds / gradients, limit, dtype),
    }
    return found if bare is None else found | {"of_bare_gradient": bare / found["us"]}


def whole_run(census: Any, restarts: int) -> dict[str, Any]:
    """Seconds, compilation apart, and what was found, or what failed."""
    if isinstance(census, str):
        return {"restarts": restarts, "error": census}
    run_seconds = census.seconds["total"] - census.seconds["compile"]
    return {
        "restarts": restarts,
        "us": 1e6 * run_seconds / restarts,
        "run_seconds": run_seconds,
        "compile_seconds": census.seconds["compile"],
        "restarts_per_second": restarts / run_seconds,
        "gradients_per_restart": float(np.mean(census.rows["steps"])),
        "seconds": census.seconds,
        "labels": census.labels(),
    }
