"""What this machine does with our kernels, each beside the machine's own limit measured in the same run.

Three limits are measured: the matrix product rate, the rate of fused multiply-adds on data in cache, and the
bandwidth of a copy that fits no cache. The work of a kernel is counted from its formulas (`*_work`): what any program
must do, so that a fraction of a limit says how much faster it could get at most. The larger of the fractions of the
matrix product and of the copy is the one to read. Where neither is near one, elementwise work (the angle functions)
binds, and its own fraction says how far that is from the limit of the vector units.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.engine.driver import environment
from landscape.engine.lanes import CPU
from landscape.engine.settings import Settings
from landscape.host.explore import explore
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent, orthonormal_teacher
from landscape.records import InputError, whole
from landscape.restart import start_points

NEAR = 0.5  # a kernel that reaches this share of a limit is bound by it
# Floating-point operations of one angle: the asin polynomial (12 or 5 multiply-adds), its reduction with one square
# root, the sine with another, and what multiplies them. A square root is counted as one, so this is a lower bound.
ANGLE = {"float64": 40.0, "float32": 26.0}
HESSIAN_NUMBERS = {"cpu": 2**22, "other": 2**29}  # numbers of Hessians in one batch: 32 MB, and 4 GB on a device


@dataclass(frozen=True)
class Bench:
    """What to measure. Fields are the options of `landscape bench`.

    Attributes:
        sizes: k = n of the networks, one after the other; default 6 20 50 (6 with --quick).
        restarts: Restarts in one batch, and of the census; default 1000 (64 with --quick).
        dtype: float64, float32 or both: of gradient, loss and descent. Hessian and Newton step are always float64.
        optimiser: Of descent and census.
        lanes: Restarts that run at once; 0 for the package's choice.
        limit: A census that would take longer than so many seconds is left out.
        out: A JSON file for the result.
        json: Print one JSON object on standard output and nothing else there.
        quick: Fewer repeats and smaller numbers: whether it works, not how fast.
    """

    sizes: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    dtype: tuple[str, ...] = ("float64",)
    optimiser: str = str(Settings().optimiser)
    lanes: int = Settings().lanes
    limit: float = 20.0
    out: str | None = None
    json: bool = False
    quick: bool = False

    def check(self) -> Bench:
        """The same with every default filled in.

        Raises:
            InputError: A field makes no sense, or `out` cannot be written.
        """
        sizes = self.sizes or ((6,) if self.quick else (6, 20, 50))
        restarts = self.restarts or ((64,) if self.quick else (1000,))
        for k in sizes:
            whole("sizes", k, 1)
        for count in restarts:
            whole("restarts", count, 1)
        for name in self.dtype:
            if name not in ANGLE:
                raise InputError(f"dtype must be float32 or float64, found {name!r}.")
        if not self.dtype:
            raise InputError("dtype must be float32, float64 or both, found nothing.")
        if not 0 < self.limit < math.inf:
            raise InputError(f"limit must be a positive number of seconds, found {self.limit}.")
        if self.out is not None:
            _check_out(Path(self.out))
        whole("lanes", self.lanes, 0)
        return replace(self, sizes=sizes, restarts=tuple(sorted(restarts)))


def _check_out(path: Path) -> None:
    """Nothing, if a result may be written there: a new file, or an older result of ours.

    Raises:
        InputError: It may not.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}.")
    if path.exists():
        try:
            ours = path.is_file() and "cells" in json.loads(path.read_text())
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise InputError(f"{path} exists and is not the result of a bench; choose another file.")


# -- the work of a kernel, counted from its formula --------------------------------------------------------------------


class Work(NamedTuple):
    """What one evaluation at one theta needs at least.

    Attributes:
        matmul: Floating-point operations in products and factorisations of matrices.
        elementwise: All other floating-point operations.
        bytes: Read and written once, if nothing in between leaves the cache.
    """

    matmul: float
    elementwise: float
    bytes: float


def gradient_work(n: int, k: int, d: int, dtype: str) -> Work:
    """n (n + k) angles; two matrix products of 2 n (n + k) d each (cosines, and angles times neurons)."""
    pairs = n * (n + k)
    return Work(4.0 * pairs * d, ANGLE[dtype] * pairs, 2.0 * n * d * _size(dtype))


def loss_work(n: int, k: int, d: int, dtype: str) -> Work:
    """n (n + k) angles and the product for their cosines; the teacher's own part is a constant."""
    pairs = n * (n + k)
    return Work(2.0 * pairs * d, ANGLE[dtype] * pairs, (n * d + 1.0) * _size(dtype))


def hessian_work(n: int, k: int, d: int, dtype: str) -> Work:
    """Angles as in the gradient; d^2 multiply-adds a pair for the diagonal blocks, about 6 d^2 elementwise for each of
    n^2 mixed blocks; p^2 numbers written."""
    pairs, p = n * (n + k), n * d
    return Work(2.0 * pairs * d * (1 + d), (ANGLE[dtype] + 4.0 * d) * pairs + 6.0 * p * p, (p + p * p) * _size(dtype))


def newton_work(n: int, k: int, d: int, dtype: str) -> Work:
    """Gradient and Hessian, a Cholesky factorisation (p^3 / 3) and two triangular solves (2 p^2); the Hessian is
    written, replaced by its factor, and read by each solve."""
    p = n * d
    gradient, hessian = gradient_work(n, k, d, dtype), hessian_work(n, k, d, dtype)
    return Work(
        gradient.matmul + hessian.matmul + p**3 / 3 + 2.0 * p * p,
        gradient.elementwise + hessian.elementwise,
        (2 * p + 4.0 * p * p) * _size(dtype),
    )


def _size(dtype: str) -> int:
    return np.dtype(dtype).itemsize


# -- the kernels -------------------------------------------------------------------------------------------------------


class BatchedGradient:
    """The gradients of a batch as the driver computes them: in its layout, in blocks that fit a cache, on every core.

    Called, it computes them once and waits. Arranging and `rows` are not part of a call: the driver arranges a lane
    once and keeps the layout for its whole descent.
    """

    def __init__(self, problem: Problem, thetas: Any):
        """Arranges thetas, [r, p], and compiles.

        Raises:
            MemoryError: The machine has not enough left.
        """
        begun = time.perf_counter()
        count = len(thetas)
        on_cpu = jax.local_devices()[0].platform == "cpu"
        size = min(problem.block, count) if on_cpu else count
        cores = min(_usable_cores(), -(-count // size)) if on_cpu else 1
        blocks = cores * -(-count // (size * cores))
        self.restarts, self.trailing = count, problem.trailing
        rows = jnp.resize(thetas, (blocks * size, thetas.shape[1])).reshape(cores, -1, size, thetas.shape[1])
        self.shares = [jnp.swapaxes(share, 1, 2) if self.trailing else share for share in rows]
        one = problem.gradient_lanes if self.trailing else problem.gradients
        tiny = float(jnp.finfo(thetas.dtype).tiny)

        def repeated(share: Any, times: Any) -> Any:
            def block(theta: Any) -> Any:
                def step(_: Any, carry: Any) -> Any:
                    gradient = one(carry[0])
                    # Of no effect, and nothing that the compiler could see through: each gradient waits for the last.
                    return carry[0] - tiny * gradient, gradient

                return jax.lax.fori_loop(0, times, step, (theta, theta))[1]

            return jax.lax.map(block, share) if blocks > 1 else block(share[0])[None]

        made = jax.jit(repeated).lower(self.shares[0], 1)
        self.compiled = made.compile(compiler_options=CPU if on_cpu else None)
        _make_sure_of(cores * _needs(self.compiled))
        self.pool = ThreadPoolExecutor(cores)
        self.compile_seconds = time.perf_counter() - begun

    def __call__(self, times: int = 1) -> list[Any]:
        """The gradients, computed so many times in a row; a share for each core.

        As in the driver, a block is gone through so many times before the next one begins, and no core waits for
        another in between.
        """
        if len(self.shares) > 1:
            return list(self.pool.map(partial(self._repeated, times), self.shares))
        return [jax.block_until_ready(self.compiled(self.shares[0], times))]

    def _repeated(self, times: int, share: Any) -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(self.compiled(share, times))

    def rows(self, shares: list[Any]) -> np.ndarray:
        """What a call returned as gradients [r, p]."""
        found = np.concatenate([np.asarray(share) for share in shares])
        found = np.swapaxes(found, 1, 2) if self.trailing else found
        return found.reshape(-1, found.shape[-1])[: self.restarts]


def newton_step(problem: Problem, theta: Any) -> Any:
    """One Newton step from theta, [p], by Cholesky factorisation: the inner step of every polish."""
    factor = jax.lax.linalg.cholesky(problem.hessian(theta), symmetrize_input=False)
    return theta - jax.scipy.linalg.cho_solve((factor, True), problem.gradient(theta))


# -- timing ------------------------------------------------------------------------------------------------------------


class Timed(NamedTuple):
    """Seconds of one call, and of its compilation.

    Attributes:
        seconds: Median over repeats; a repeat is as many calls in a row as take `least` seconds.
        compile_seconds: Tracing, lowering and compiling.
        rounds: Every repeat.
    """

    seconds: float
    compile_seconds: float
    rounds: tuple[float, ...]


def timed(function: Callable[..., Any], *arguments: Any, repeats: int = 7, least: float = 0.05) -> Timed:
    """Times a function of arrays, compiled for these very arguments.

    Raises:
        MemoryError: The program and its arguments need more than the machine has left.
    """
    begun = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - begun
    _make_sure_of(_needs(compiled))

    def run(times: int) -> None:
        result = None
        for _ in range(times):
            result = compiled(*arguments)
        jax.block_until_ready(result)

    return repeated(run, compile_seconds, repeats, least)


def repeated(run: Callable[[int], Any], compile_seconds: float, repeats: int = 7, least: float = 0.05) -> Timed:
    """Times `run(times)`, which does its work so many times in a row and waits for the end of it."""
    run(1)
    begun = time.perf_counter()
    run(1)
    times = max(1, min(1000, math.ceil(least / max(time.perf_counter() - begun, 1e-7))))
    rounds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run(times)
        rounds.append((time.perf_counter() - begun) / times)
    return Timed(statistics.median(rounds), compile_seconds, tuple(rounds))


def _needs(compiled: Any) -> float:
    """Bytes that a call of a compiled program takes beyond its arguments."""
    sizes = compiled.memory_analysis()
    return 0.0 if sizes is None else sizes.temp_size_in_bytes + sizes.output_size_in_bytes


def _make_sure_of(needed: float) -> None:
    """Nothing, if that many bytes can be had: on the host an overcommitted program is killed, not refused."""
    left = _host_memory_left() if jax.local_devices()[0].platform == "cpu" else None
    if left is not None and needed > 0.9 * left:
        raise MemoryError(f"{needed / 1e9:.1f} GB are needed and {left / 1e9:.1f} GB are free")


def _host_memory_left() -> float | None:
    """Bytes that the host can still give, None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def machine() -> dict[str, Any]:
    """Processor, cores, those we may use, and the system."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {"processor": model, "cores": os.cpu_count(), "cores_used": _usable_cores(), "system": platform.system()}


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limits(dtypes: tuple[str, ...], quick: bool = False) -> dict[str, Any]:
    """Measured limits of the device: `copy_gbytes`, and for each dtype `matmul_gflops` and `elementwise_gflops`.

    Products are of square matrices in full precision (no TF32), copies read and write an array that fits no cache,
    elementwise work is 128 multiply-adds a number on an array that fits the cache.
    """
    host = jax.local_devices()[0].platform == "cpu"
    repeats = 3 if quick else 7
    side = 1024 if quick else (2048 if host else 8192)
    large = 2**24 if quick else (2**25 if host else 2**29)
    small = 2**16 if host else 2**24
    found: dict[str, Any] = {}
    source = jnp.zeros(large, jnp.float32)
    # In a loop, so that new pages from the system, which cost more than the copy, are paid once.
    passes = 8
    copied = timed(lambda x: jax.lax.fori_loop(0, passes, lambda i, x: x + i, x), source, repeats=repeats)
    found["copy_gbytes"] = passes * 2 * source.nbytes / copied.seconds / 1e9
    del source
    for name in dtypes:
        a = jnp.asarray(np.random.default_rng(0).normal(size=(side, side)), name)
        product = timed(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST), a, repeats=repeats)

        def chain(x: Any) -> Any:
            # Eight chains hide the latency of a multiply-add; written out, so that they stay in registers.
            parts = [x * (1.0 + 0.1 * i) for i in range(8)]
            for _ in range(16):
                parts = [part * x + 0.5 for part in parts]
            return sum(parts)

        x = jnp.full(small, 0.5, name)
        elementwise = timed(chain, x, repeats=repeats)
        found[name] = {
            "matmul_gflops": 2 * side**3 / product.seconds / 1e9,
            "elementwise_gflops": (2 * 8 * 16 + 15) * small / elementwise.seconds / 1e9,
        }
    return found


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
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        return {"batch": batch, "error": _out_of_memory(error)}
    return {
        "batch": batch,
        "us": 1e6 * took.seconds / batch,
        "seconds": took.seconds,
        "rounds": list(took.rounds),
        "compile_seconds": took.compile_seconds,
        **fractions(work, took.seconds / batch, limit, dtype),
    }


def _out_of_memory(error: Exception) -> str:
    """Says that memory ran out. Any other error is raised again: it is not a matter of size."""
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    if "RESOURCE_EXHAUSTED" not in str(error):
        raise error
    return f"out of memory: {str(error).splitlines()[0][:200]}"


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


# -- the bench ---------------------------------------------------------------------------------------------------------


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
                    census = _census(problem, pilot, dtype, asked)
                    if not isinstance(census, str):
                        rate = (census.seconds["total"] - census.seconds["compile"]) / pilot
                if rate is not None and rate * restarts > asked.limit:
                    # A cell is never without a census: the largest that fits, the pilot at least.
                    count = min(restarts, max(pilot, int(asked.limit / rate)))
                    said = f"{restarts} restarts would take about {rate * restarts:.0f} s, over the limit"
                    cell["left_out"] = said
                if census is None or count != pilot:
                    census = _census(problem, count, dtype, asked)
                cell["census"] = whole_run(census, count)
                # After the census: nothing compiles in the background any more.
                cell["descent"] = descent(problem, restarts, dtype, limit, asked, cell)
                if "run_seconds" in cell["census"]:
                    rate = cell["census"]["run_seconds"] / count
                yield cell


def _thetas(problem: TeacherStudent, restarts: int, dtype: str) -> Any:
    """A batch of starting points on the device; beyond 1024 the same ones again, which cost the same."""
    few = start_points(problem, 0, np.arange(min(restarts, 1024))).astype(dtype)
    _make_sure_of(3.0 * restarts * problem.p * few.itemsize)
    return jnp.resize(jnp.asarray(few), (restarts, problem.p))


def first_order(
    problem: TeacherStudent, restarts: int, dtype: str, limit: dict[str, Any], quick: bool = False
) -> dict[str, Any]:
    """Gradient and loss of a batch of restarts."""
    n, k, d = problem.width, len(problem.teacher), problem.d
    try:
        thetas = jax.block_until_ready(_thetas(problem, restarts, dtype))
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        failed = {"batch": restarts, "error": _out_of_memory(error)}
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


def _census(problem: TeacherStudent, restarts: int, dtype: str, asked: Bench, **settings: Any) -> Any:
    """The census, or a sentence where memory ran out."""
    chosen = {"optimiser": asked.optimiser, "lanes": asked.lanes, "dtype": dtype} | settings
    try:
        return explore(problem, restarts, progress=False, **chosen)
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        return _out_of_memory(error)


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
    census = _census(problem, restarts, dtype, asked, budget=budget, retire=1e-300)
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


def bench(asked: Bench, report: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Everything asked for, as one record.

    Args:
        asked: What to measure.
        report: Called with each line of the table as soon as it is known.

    Raises:
        InputError: A field of `asked` makes no sense.
    """
    asked = asked.check()
    report = report or (lambda line: None)
    with jax.enable_x64(True):
        if asked.optimiser != Settings().optimiser:
            _census(orthonormal_teacher(2), 1, asked.dtype[0], asked)  # an unknown one is refused before any timing
        where = environment(Settings()) | machine() | {"devices": len(jax.local_devices())}
        where.pop("dtype")  # it is each cell's own
        found = limits(tuple(dict.fromkeys((*asked.dtype, "float64"))), asked.quick)
        for line in heading(where, found):
            report(line)
        done = []
        for cell in cells(asked, found):
            done.append(cell)
            for line in table_rows(cell):
                report(line)
    report(FOOTER)
    said = {name: value for name, value in vars(asked).items() if name not in ("out", "json")}
    result = {"bench": said, "environment": where, "limits": found, "cells": done}
    if asked.out is not None:
        Path(asked.out).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


# -- the table ---------------------------------------------------------------------------------------------------------

ROWS = {
    "gradient": "gradient",
    "loss": "loss",
    "hessian": "Hessian",
    "newton": "Newton step",
    "descent": "gradient in descent",
    "census": "whole census",
}
COLUMNS = "{:>4} {:>9} {:8} {:20} {:>9} {:>12} {:>9} {:>9} {:>9}  {}"
FOOTER = """\
Fractions count what the formulas need, not what the program does; 'of limit' is the larger of those of the matrix
product rate and of the copy. Where neither reaches 0.5, elementwise work (angles) and overhead bind, and the fraction
of the multiply-add rate stands beside it. Microseconds are per restart; compilation is kept apart."""


def heading(where: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The lines above the table: machine, limits, columns."""
    cores = f"{where['cores_used']} of {where['cores']} cores"
    return [
        f"{where['processor']}, {cores}; {where['devices']} x {where['platform']}; JAX {where['jax']}",
        f"limits: copy {found['copy_gbytes']:.1f} GB/s"
        + "".join(
            f"; {name} matrix product {found[name]['matmul_gflops']:.0f}, "
            f"elementwise {found[name]['elementwise_gflops']:.0f} GFLOP/s"
            for name in ANGLE
            if name in found
        ),
        "",
        COLUMNS.format(
            "k=n", "restarts", "dtype", "what", "compile s", "us each", "of matmul", "of copy", "of limit", "what binds"
        ),
    ]


def table_rows(cell: dict[str, Any]) -> list[str]:
    """The lines of one cell."""
    lines = []
    for key, name in ROWS.items():
        one = cell[key]
        dtype = "float64" if key in ("hessian", "newton") else cell["dtype"]
        start = (cell["k"], one.get("batch", one.get("restarts")), dtype, name)
        if "error" in one:
            lines.append(COLUMNS.format(*start, "-", "-", "-", "-", "-", one["error"]))
            continue
        compiled = f"{one['compile_seconds']:.2f}" if "compile_seconds" in one else ""
        each = f"{one['us']:.3g}" if one["us"] < 1000 else f"{one['us']:.0f}"
        if key == "census":
            labels = ", ".join(f"{count} {label}" for label, count in one["labels"].items() if count)
            said = f"{one['restarts_per_second']:.3g} a second: {labels}"
            if "left_out" in cell:
                said += f" ({cell['left_out']})"
            lines.append(COLUMNS.format(*start, compiled, each, "", "", "", said))
            continue
        said = one["binds"]
        if said == "elementwise work":
            said += f" and overhead ({one['of_elementwise']:.2f})"
        if "of_bare_gradient" in one:
            said += f"; {one['of_bare_gradient']:.2f} of the bare gradient's rate"
        parts = [f"{one[f]:.2f}" for f in ("of_matmul", "of_copy", "of_limit")]
        lines.append(COLUMNS.format(*start, compiled, each, *parts, said))
    return lines
