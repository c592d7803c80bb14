"""Ours against what a user could pick instead: same starting points, same formula, same machine, in one run.

    python benchmarks/peers.py [--sizes 6 20 50] [--restarts 1000] [--rounds 5] [--only NAME ...] [--out FILE]
    python benchmarks/peers.py --draw FILE.json FILE.png

Three contests at an orthonormal teacher of k neurons and a student of n = k, ReLU, Gaussian inputs, exact loss:

* gradient: one gradient of a batch of restarts, in float64 and float32;
* descent: gradient descent from the same starts until 90% of the restarts have a gradient norm of 1e-9 or less
  (without labels), against our census of all of them, labels included;
* lbfgs: minima a second by L-BFGS and BFGS.

Contenders of a contest take turns, in alternating order, round after round, and every ratio is taken inside a round, so
that drift of the machine hits all alike. Compilation, imports and the start of worker processes are kept apart and
stated. A peer that is not installed (`pip install '.[peers]'`) is skipped with a sentence. The result is JSON with
the environment.

The modules of the peers are imported where they are used: worker processes import this file and need NumPy alone.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

STEP = 0.1  # Safran and Shamir's step
STOP = 1e-9  # gradient norm at which a descent of a peer is done
SHARE = 0.9  # of the restarts that must be done before a batch stops: the rest are stragglers
BUDGET = 20_000  # steps; a descent one at a time stops there
CEILING = 60_000  # steps of a batch, whatever has not arrived
LOOK = 100  # steps between two looks at the gradient norms of a batch: 1% of the cost
DROP = 500  # steps between two droppings of finished restarts
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
TARGETS = (1e-6, 1e-8, 1e-10)  # gradient norms whose shares are reported
CHUNK = 100  # restarts of one call in PyTorch, where a whole batch leaves the cache ...
SMALLEST_CHUNKED = 30  # ... which is 10% faster at k = 50 and slower at 20
LARGEST_LAST = 10  # restarts on the last axis in PyTorch: 5 times slower than matrix products at k = 20

# -- the formula, as each peer's user would write it -------------------------------------------------------------------


def numpy_gradient(theta: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Gradient at theta [r, n, d] against teacher [k, d], analytic, batched."""
    norm = np.linalg.norm(theta, axis=2, keepdims=True)
    unit = theta / norm
    length = np.linalg.norm(teacher, axis=1)
    own = np.clip(unit @ unit.transpose(0, 2, 1), -1.0, 1.0)
    cross = np.clip(unit @ (teacher / length[:, None]).T, -1.0, 1.0)
    radial = (np.sqrt((1 - own) * (1 + own)) @ norm) - (np.sqrt((1 - cross) * (1 + cross)) @ length)[..., None]
    return (radial * unit + np.arccos(-own) @ theta - np.arccos(-cross) @ teacher) / (2 * np.pi)


def numpy_value_and_gradient(theta: np.ndarray, teacher: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss and gradient at one theta, [p]: what SciPy asks for. The angles are computed once for both."""
    w = theta.reshape(-1, teacher.shape[1])
    norm, length = np.sqrt(np.einsum("ij,ij->i", w, w)), np.sqrt(np.einsum("ij,ij->i", teacher, teacher))
    unit, direction = w / norm[:, None], teacher / length[:, None]
    cosine = np.minimum(np.maximum(unit @ np.concatenate([unit, direction]).T, -1.0), 1.0)
    sine, rest = np.sqrt((1 - cosine) * (1 + cosine)), np.arccos(-cosine)
    signed = np.concatenate([norm, -length])
    radial = sine @ signed
    gradient = (radial[:, None] * unit + rest @ np.concatenate([w, -teacher])) / (2 * np.pi)
    kernel = sine + rest * cosine
    n = len(w)
    # The teacher's own part is a constant; for unit orthogonal teachers k/2 + k (k - 1) / (2 pi), halved.
    fixed = np.minimum(np.maximum(direction @ direction.T, -1.0), 1.0)
    constant = length @ (np.sqrt((1 - fixed) * (1 + fixed)) + np.arccos(-fixed) * fixed) @ length
    value = norm @ (kernel[:, :n] @ norm - 2 * (kernel[:, n:] @ length)) + constant
    return value / (4 * np.pi), gradient.reshape(-1)


def torch_gradient(theta: Any, teacher: Any, direction: Any, length: Any) -> Any:
    """The same in PyTorch: batched matrix products, teacher directions and lengths given, sums fused into a product."""
    import torch

    norm = torch.linalg.vector_norm(theta, dim=2, keepdim=True)
    unit = theta / norm
    own = torch.bmm(unit, unit.transpose(1, 2)).clamp(-1.0, 1.0)
    cross = torch.matmul(unit, direction.T).clamp(-1.0, 1.0)
    radial = (torch.sqrt((1 - own) * (1 + own)) * norm.transpose(1, 2)).sum(2, keepdim=True)
    radial = radial - (torch.sqrt((1 - cross) * (1 + cross)) * length).sum(2, keepdim=True)
    rest = radial * unit - torch.matmul(torch.acos(-cross), teacher)
    return torch.baddbmm(rest, torch.acos(-own), theta) * (1 / (2 * math.pi))


def torch_gradient_last(theta: Any, teacher: Any, direction: Any, length: Any) -> Any:
    """The same at theta [n, d, r]: sums instead of products, vectorised over restarts; for small networks only."""
    import torch

    norm = torch.sqrt((theta * theta).sum(1, keepdim=True))
    unit = theta / norm
    own = (unit[:, None] * unit[None]).sum(2).clamp(-1.0, 1.0)
    cross = (unit[:, None] * direction[None, :, :, None]).sum(2).clamp(-1.0, 1.0)
    radial = (torch.sqrt((1 - own) * (1 + own)) * norm[None, :, 0]).sum(1, keepdim=True)
    radial = radial - (torch.sqrt((1 - cross) * (1 + cross)) * length[None, :, None]).sum(1, keepdim=True)
    flat = (torch.acos(-own)[:, :, None] * theta[None]).sum(1)
    flat = flat - (torch.acos(-cross)[:, :, None] * teacher[None, :, :, None]).sum(1)
    return (radial * unit + flat) * (1 / (2 * math.pi))


def jax_naive_loss(theta: Any, teacher: Any) -> Any:
    """The loss at one theta [n, d] with `jnp.arccos`, for automatic differentiation: the first thing one writes.

    Cosines are clipped below one: at one the derivative of arccos is infinite and the gradient NaN.
    """
    import jax.numpy as jnp

    def moments(u: Any, v: Any) -> Any:
        a, b = jnp.linalg.norm(u, axis=1), jnp.linalg.norm(v, axis=1)
        edge = 1 - jnp.finfo(theta.dtype).eps
        cosine = jnp.clip((u / a[:, None]) @ (v / b[:, None]).T, -edge, edge)
        sine = jnp.sqrt(1 - cosine**2)
        return a[:, None] * b * (sine + (jnp.pi - jnp.arccos(cosine)) * cosine) / (2 * jnp.pi)

    return (
        0.5 * jnp.sum(moments(theta, theta))
        - jnp.sum(moments(theta, teacher))
        + 0.5 * jnp.sum(moments(teacher, teacher))
    )


# -- contests ----------------------------------------------------------------------------------------------------------


def alternate(contenders: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every contender in every round; the order turns round by round: forwards, backwards.

    Args:
        contenders: By name, a function that does the work once and returns the seconds it took.
        rounds: How often each runs.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for i in range(rounds):
        order = list(contenders) if i % 2 == 0 else list(contenders)[::-1]
        for name in order:
            seconds[name].append(contenders[name]())
    return seconds


def ratios(seconds: dict[str, list[float]], ours: str) -> dict[str, dict[str, Any]]:
    """Median seconds, all rounds, and how many times slower than ours: the median of the ratios inside each round."""
    return {
        name: {
            "seconds": statistics.median(rounds),
            "rounds": rounds,
            "times_ours": statistics.median(a / b for a, b in zip(rounds, seconds[ours], strict=True)),
        }
        for name, rounds in seconds.items()
    }


def norms_reached(norms: np.ndarray) -> dict[str, Any]:
    """The gradient norms that half and 90% are at or below, and the share of restarts at or below each of `TARGETS`."""
    norms = np.where(np.isfinite(norms), norms, np.inf)
    median, most = np.quantile(norms, [0.5, SHARE], method="inverted_cdf")
    finite = lambda x: float(x) if np.isfinite(x) else None  # noqa: E731
    return {
        "grad_norm_median": finite(median),
        "grad_norm_90": finite(most),
        "shares": {f"{target:g}": float(np.mean(norms <= target)) for target in TARGETS},
    }


def clocked(work: Callable[[], Any]) -> float:
    """Seconds of one call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def keep_compiled(folder: Path) -> None:
    """Sets JAX to 64 bits and to keep compiled programs in a folder; before JAX is first imported.

    A census compiles in the background and while other lanes run, and what a clock counts as compilation is then also
    time in which restarts advanced. From the second census on programs are loaded instead, and the count is small.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # a line of every processor feature for each program loaded
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


class Skipped(Exception):
    """A peer cannot take part; the message says why."""


def _torch() -> Any:
    """PyTorch with as many threads as cores may be used, if it is here and runs where JAX runs."""
    try:
        import torch
    except ImportError:
        raise Skipped("PyTorch is not installed; pip install '.[peers]'.") from None
    import jax

    if jax.local_devices()[0].platform != "cpu" and not torch.cuda.is_available():
        raise Skipped("JAX runs on an accelerator and this PyTorch does not: their times cannot be compared.")
    torch.set_num_threads(_cores())
    if hasattr(torch._dynamo.config, "recompile_limit"):
        torch._dynamo.config.recompile_limit = 64  # one function, many shapes
    return torch


def _torch_device() -> str:
    import jax

    return "cpu" if jax.local_devices()[0].platform == "cpu" else "cuda"


def _torch_wait() -> None:
    import torch

    if _torch_device() != "cpu":
        torch.cuda.synchronize()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _torch_arguments(theta: np.ndarray, teacher: np.ndarray, dtype: str, last: bool = False) -> tuple[Any, ...]:
    """theta, teacher, its directions and lengths as tensors."""
    import torch

    length = np.linalg.norm(teacher, axis=1)
    if last:
        theta = np.moveaxis(theta, 0, 2)
    arrays = (theta, teacher, teacher / length[:, None], length)
    return tuple(
        torch.tensor(np.ascontiguousarray(a), dtype=getattr(torch, dtype), device=_torch_device()) for a in arrays
    )


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """`torch.compile` of a function of its own, so that each variant has its own graph."""
    import torch

    torch._dynamo.reset()
    return torch.compile(function, fullgraph=True, **options)


def _in_chunks(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function on `CHUNK` restarts at a time."""

    def chunks(theta: Any, *rest: Any) -> Any:
        import torch

        return torch.cat([function(part, *rest) for part in theta.split(CHUNK)])

    return chunks


# -- one gradient ------------------------------------------------------------------------------------------------------


def gradient_contest(k: int, restarts: int, dtype: str, rounds: int, least: float = 0.2) -> dict[str, Any]:
    """One gradient of all restarts.

    Args:
        k: Teacher and student neurons, and inputs.
        restarts: In the batch.
        dtype: "float64" or "float32".
        rounds: Of alternation.
        least: Seconds that a contender computes in one round.
    """
    import jax
    import jax.numpy as jnp

    import landscape as ls
    from landscape.host.bench.kernels import BatchedGradient

    problem = ls.orthonormal_teacher(k)
    starts = ls.start_points(problem, 0, np.arange(restarts))
    cube = starts.reshape(restarts, k, k)
    teacher = np.asarray(problem.teacher)
    right = numpy_gradient(cube, teacher).reshape(restarts, -1)
    calls: dict[str, Callable[[int], Any]] = {}  # by name: compute the gradient so many times, return the last
    compile_seconds: dict[str, float] = {}
    skipped: dict[str, str] = {}

    def add(name: str, repeat: Callable[[int], Any]) -> None:
        compile_seconds[name] = clocked(lambda: repeat(1))
        calls[name] = repeat

    thetas = jnp.asarray(starts.astype(dtype))
    ours = BatchedGradient(problem, thetas)
    add("landscape", ours)
    compile_seconds["landscape"] += ours.compile_seconds

    naive = jax.vmap(jax.grad(lambda theta: jax_naive_loss(theta, jnp.asarray(teacher, dtype))))
    naive_compiled, naive_thetas = jax.jit(naive), jnp.asarray(cube.astype(dtype))

    def repeat_naive(times: int) -> Any:
        result = None
        for _ in range(times):
            result = naive_compiled(naive_thetas)
        return jax.block_until_ready(result)

    add("jax-naive", repeat_naive)
    small, small_teacher = cube.astype(dtype), teacher.astype(dtype)

    def repeat_numpy(times: int) -> Any:
        result = None
        for _ in range(times):
            result = numpy_gradient(small, small_teacher)
        return result

    add("numpy", repeat_numpy)

    def add_torch(name: str, function: Callable[..., Any], last: bool = False) -> None:
        torch = _torch()
        arguments = _torch_arguments(cube, teacher, dtype, last)

        def repeat(times: int) -> Any:
            with torch.inference_mode():
                result = None
                for _ in range(times):
                    result = function(*arguments)
                _torch_wait()
            return result.movedim(2, 0) if last else result

        add(name, repeat)

    variants: dict[str, Callable[[], None]] = {
        "torch-eager": lambda: add_torch("torch-eager", torch_gradient),
        "torch-compile": lambda: add_torch("torch-compile", _compiled(torch_gradient, dynamic=False)),
        "torch-compile-autotuned": lambda: add_torch(
            "torch-compile-autotuned",
            _compiled(torch_gradient, dynamic=False, mode="max-autotune-no-cudagraphs"),
        ),
    }
    if k >= SMALLEST_CHUNKED:
        chunked = lambda: _in_chunks(_compiled(torch_gradient, dynamic=True))  # noqa: E731
        variants["torch-compile-chunks"] = lambda: add_torch("torch-compile-chunks", chunked())
    if k <= LARGEST_LAST:
        variants["torch-compile-last"] = lambda: add_torch(
            "torch-compile-last", _compiled(torch_gradient_last, dynamic=False), last=True
        )
    for name, make in variants.items():
        try:
            make()
        except Skipped as why:
            skipped[name] = str(why)
        except Exception as error:  # a compiler's own failure is a result
            skipped[name] = (
                f"failed: {type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            )

    errors = {}
    for name, repeat in calls.items():
        result = ours.rows(repeat(1)) if name == "landscape" else np.asarray(repeat(1)).reshape(restarts, -1)
        errors[name] = float(np.max(np.abs(result - right)))
    times = {
        name: max(1, math.ceil(least / max(clocked(lambda r=repeat: r(1)), 1e-6))) for name, repeat in calls.items()
    }
    turns: dict[str, Callable[[], float]] = {
        name: lambda name=name: clocked(lambda: calls[name](times[name])) / times[name] for name in calls
    }
    budget = 100 * math.ceil(max(1, times["landscape"] / 100))

    def in_the_driver() -> float:
        # Nothing stops these restarts before their budget: filling and looking at lanes is in the time, polish is not.
        census = ls.explore(problem, restarts, dtype=dtype, budget=budget, retire=1e-300, progress=False)
        gradients = np.sum(census.rows["steps"]) / restarts
        return (census.seconds["total"] - census.seconds["compile"]) / float(gradients)

    compile_seconds["landscape-in-the-driver"] = clocked(in_the_driver)
    seconds = alternate(turns | {"landscape-in-the-driver": in_the_driver}, rounds)
    found = ratios(seconds, "landscape")
    for name, one in found.items():
        one |= {
            "us_per_restart": 1e6 * one["seconds"] / restarts,
            "first_call_seconds": compile_seconds[name],
            "largest_error": errors.get(name),
        }
    compiled = [name for name in found if name.startswith("torch-compile")]
    best = min(compiled, key=lambda name: found[name]["seconds"]) if compiled else None
    return {
        "k": k,
        "restarts": restarts,
        "dtype": dtype,
        "contenders": found,
        "best_torch_compile": best,
        "times_ours_best_torch_compile": found[best]["times_ours"] if best else None,
        "skipped": skipped,
    }


# -- descent -----------------------------------------------------------------------------------------------------------


def torch_descent(starts: np.ndarray, teacher: np.ndarray, drop: bool) -> Callable[[], dict[str, Any]]:
    """Gradient descent of the whole batch until `SHARE` of it has arrived, compiled here and run by the result.

    Args:
        starts: [r, n, d].
        teacher: [k, d].
        drop: Take finished restarts out every `DROP` steps. The smaller batches run one graph with a dynamic batch
            size: it is as fast as a graph for each size and wastes nothing on padding (both were measured).
    """
    torch = _torch()
    first, *rest = _torch_arguments(starts, teacher, "float64")

    def step(theta: Any, teacher: Any, direction: Any, length: Any) -> Any:
        return theta - STEP * torch_gradient(theta, teacher, direction, length)

    whole, grad = torch.compile(step, dynamic=False, fullgraph=True), torch.compile(torch_gradient, dynamic=True)
    smaller = torch.compile(step, dynamic=True, fullgraph=True)
    count = len(starts)
    wanted = math.ceil(SHARE * count)

    def run(ceiling: int = CEILING) -> dict[str, Any]:
        theta, steps, evaluations = first, 0, 0
        index = torch.arange(count, device=first.device)
        norms = torch.full((count,), math.inf, dtype=torch.float64, device=first.device)
        with torch.inference_mode():
            while steps < ceiling:
                advance = whole if len(theta) == count else smaller
                for _ in range(LOOK):
                    theta = advance(theta, *rest)
                steps, evaluations = steps + LOOK, evaluations + LOOK * len(theta)
                now = torch.linalg.vector_norm(grad(theta, *rest).flatten(1), dim=1)
                norms[index] = now
                if int((norms <= STOP).sum()) >= wanted:
                    break
                if drop and steps % DROP == 0:
                    left = now > STOP
                    if not bool(left.all()):
                        theta, index = theta[left].contiguous(), index[left]
        _torch_wait()
        return {"steps": steps, "gradients": evaluations, "norms": norms.cpu().numpy()}

    with torch.inference_mode():
        # Every graph is compiled before the clock starts: for the given tensor, and for what a step makes of it.
        for theta in (first, whole(first, *rest)):
            whole(theta, *rest)
            for part in (theta, theta[: count // 2].contiguous(), theta[: count // 3].contiguous()):
                grad(part, *rest)
                smaller(smaller(part, *rest), *rest)
    return run


def jax_while_loop(starts: np.ndarray, teacher: np.ndarray, problem: Any) -> Callable[[], dict[str, Any]]:
    """`vmap` of a `while_loop` over steps of our own gradient: every restart waits for the slowest."""
    import jax
    import jax.numpy as jnp

    def descend(theta: Any) -> Any:
        def running(carry: Any) -> Any:
            _, grad, steps = carry
            return (jnp.linalg.norm(grad) > STOP) & (steps < BUDGET)

        def step(carry: Any) -> Any:
            theta, grad, steps = carry
            theta = theta - STEP * grad
            return theta, problem.gradient(theta), steps + 1

        _, grad, steps = jax.lax.while_loop(running, step, (theta, problem.gradient(theta), 0))
        return jnp.linalg.norm(grad), steps

    thetas = jnp.asarray(starts.reshape(len(starts), -1))
    compiled = jax.jit(jax.vmap(descend)).lower(thetas).compile()

    def run() -> dict[str, Any]:
        norms, steps = jax.block_until_ready(compiled(thetas))
        steps = np.asarray(steps)
        return {"steps": int(steps.max()), "gradients": int(steps.max()) * len(steps), "norms": np.asarray(norms)}

    return run


def numpy_descent_one(start: np.ndarray, teacher: np.ndarray) -> tuple[float, int]:
    """Gradient norm and steps of one descent in NumPy, from start [p]."""
    theta = np.array(start)
    for steps in range(BUDGET):
        _, gradient = numpy_value_and_gradient(theta, teacher)
        norm = float(np.sqrt(gradient @ gradient))
        if norm <= STOP:
            return norm, steps
        theta -= STEP * gradient
    return norm, BUDGET


def scipy_one(start: np.ndarray, teacher: np.ndarray) -> tuple[float, int]:
    """Gradient norm and evaluations of SciPy's L-BFGS-B, its tolerances at zero: it stops when it can do no more."""
    from scipy.optimize import minimize

    # ftol = gtol = 0: it stops when its line search finds no lower point.
    options = {"ftol": 0.0, "gtol": 0.0, "maxiter": BUDGET, "maxfun": 10 * BUDGET, "maxls": 50}
    done = minimize(numpy_value_and_gradient, start, args=(teacher,), jac=True, method="L-BFGS-B", options=options)
    return float(np.linalg.norm(numpy_value_and_gradient(done.x, teacher)[1])), int(done.nfev)


SINGLE = {"numpy-descent": numpy_descent_one, "scipy-lbfgsb": scipy_one}


def _serve(name: str, starts: np.ndarray, teacher: np.ndarray, pipe: Any) -> None:
    """A worker: warms up on one restart, then does all of its own each time it is told to, one after another."""
    one = SINGLE[name]
    if name == "scipy-lbfgsb":
        one(starts[0], teacher)
    pipe.send("ready")
    while pipe.recv():
        pipe.send([one(start, teacher) for start in starts])


class Workers:
    """Two processes, one BLAS thread each, that share the restarts of a one-at-a-time peer."""

    def __init__(self, name: str, starts: np.ndarray, teacher: np.ndarray, processes: int = 2):
        """Starts the processes and waits until they are ready; neither is timed."""
        context = multiprocessing.get_context("spawn")
        before = {variable: os.environ.get(variable) for variable in BLAS_THREADS}
        os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
        self.count, self.pipes, self.processes = len(starts), [], []
        try:
            for i in range(processes):
                mine, theirs = context.Pipe()
                # Every second restart: long descents are spread alike.
                arguments = (name, starts[i::processes], teacher, theirs)
                process = context.Process(target=_serve, args=arguments, daemon=True)
                process.start()
                theirs.close()
                self.pipes.append(mine)
                self.processes.append(process)
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value
        for pipe in self.pipes:
            pipe.recv()

    def run(self) -> dict[str, Any]:
        """All restarts once."""
        for pipe in self.pipes:
            pipe.send(True)
        done = [one for pipe in self.pipes for one in pipe.recv()]
        return {"norms": np.array([norm for norm, _ in done]), "gradients": sum(count for _, count in done)}

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self.pipes:
            pipe.send(False)
        for process in self.processes:
            process.join()


def landscape_run(problem: Any, restarts: int, optimiser: str) -> Callable[[], dict[str, Any]]:
    """Our census, labels included. Its seconds are those it takes beyond compiling."""
    import landscape as ls

    def run() -> dict[str, Any]:
        census = ls.explore(problem, restarts, optimiser=optimiser, progress=False)
        rows = census.rows
        return {
            "own_seconds": census.seconds["total"] - census.seconds["compile"],
            "compile_seconds": census.seconds["compile"],
            "total_seconds": census.seconds["total"],
            "norms": np.asarray(rows["grad_norm"], float),
            "gradients": int(np.sum(rows["steps"])),
            "labels": census.labels(),
            "optimiser": optimiser,
        }

    return run


def race(
    contenders: dict[str, Callable[[], dict[str, Any]]], ours: str, rounds: int, scale: dict[str, float]
) -> dict[str, Any]:
    """Alternates the contenders and reports seconds, ratios and the gradient norms reached.

    Args:
        contenders: By name, a run of the whole; what it returns is reported, "norms" in short. "own_seconds" counts
            instead of the time on the clock.
        ours: Name of the one that ratios are relative to.
        rounds: How often each runs.
        scale: By name, what seconds are multiplied by where only a sample was run.
    """
    last: dict[str, dict[str, Any]] = {}

    def timed(name: str) -> float:
        begun = time.perf_counter()
        last[name] = contenders[name]()
        seconds = scale.get(name, 1.0) * last[name].get("own_seconds", time.perf_counter() - begun)
        print(f"  {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
        return seconds

    found = ratios(alternate({name: lambda name=name: timed(name) for name in contenders}, rounds), ours)
    for name, one in found.items():
        said = {key: value for key, value in last[name].items() if key not in ("norms", "own_seconds")}
        one |= said | norms_reached(last[name]["norms"]) | {"measured_restarts": len(last[name]["norms"])}
    return found


def descent_contest(k: int, restarts: int, rounds: int, only: set[str], sample: int) -> dict[str, Any]:
    """From the same starts to small gradients; ours with labels."""
    import landscape as ls

    problem = ls.orthonormal_teacher(k)
    starts = ls.start_points(problem, 0, np.arange(restarts))
    cube, teacher = starts.reshape(restarts, k, k), np.asarray(problem.teacher)
    sample = min(sample, restarts)
    makers: dict[str, Callable[[], Callable[[], dict[str, Any]]]] = {
        "torch-descent": lambda: torch_descent(cube, teacher, drop=False),
        "torch-dropping": lambda: torch_descent(cube, teacher, drop=True),
        "jax-while-loop": lambda: jax_while_loop(cube, teacher, problem),
    }
    found = _contest(
        makers,
        {"numpy-descent": sample},
        "landscape-flow",
        lambda: landscape_run(problem, restarts, "flow"),
        only,
        starts,
        teacher,
        rounds,
    )
    return {"k": k, "restarts": restarts, **found}


def _contest(
    makers: dict[str, Callable[[], Callable[[], dict[str, Any]]]],
    singles: dict[str, int],
    ours: str,
    make_ours: Callable[[], Callable[[], dict[str, Any]]],
    only: set[str],
    starts: np.ndarray,
    teacher: np.ndarray,
    rounds: int,
    scale: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Makes the contenders that are asked for and here, and races them.

    Args:
        makers: Batched peers.
        singles: One-at-a-time peers and how many restarts they are measured on.
        ours: Name of our own.
        make_ours: Makes it.
        only: Names asked for; empty for all.
        starts: [r, p].
        teacher: [k, d].
        rounds: Of alternation.
        scale: Factors of batched peers that run a sample.
    """
    contenders: dict[str, Callable[[], dict[str, Any]]] = {}
    setup: dict[str, float] = {}
    skipped: dict[str, str] = {}
    workers: list[Workers] = []
    scale = dict(scale or {})

    def add(name: str, make: Callable[[], Callable[[], dict[str, Any]]]) -> None:
        begun = time.perf_counter()
        try:
            contenders[name] = make()
        except Skipped as why:
            skipped[name] = str(why)
        except Exception as error:  # a compiler's own failure is a result
            skipped[name] = f"failed: {type(error).__name__}: {str(error).strip().splitlines()[:1]}"
        setup[name] = time.perf_counter() - begun

    try:
        add(ours, make_ours)
        contenders[ours]()  # what is compiled outside the driver's clock is compiled before the race
        for name, make in makers.items():
            if not only or name in only:
                add(name, make)
        for name, sample in singles.items():
            if not only or name in only:
                workers.append(Workers(name, starts[:sample], teacher))
                contenders[name] = workers[-1].run
                scale[name] = len(starts) / sample
        found = race(contenders, ours, rounds, scale)
    finally:
        for group in workers:
            group.close()
    for name in found:
        if name in setup:
            found[name]["setup_seconds"] = setup[name]
    return {"contenders": found, "ours": ours, "skipped": skipped}


# -- L-BFGS ------------------------------------------------------------------------------------------------------------


def optax_lbfgs(starts: np.ndarray, problem: Any, iterations: int = 1000) -> Callable[[], dict[str, Any]]:
    """`optax.lbfgs` with its own line search in a `while_loop` under `vmap`, with our gradient.

    A restart stops at a norm of 1e-10, after five iterations that do not lower the loss, or after `iterations`.
    """
    import jax
    import jax.numpy as jnp
    import optax

    solver = optax.lbfgs()
    evaluate = optax.value_and_grad_from_state(problem.loss)

    def minimise(theta: Any) -> Any:
        def running(carry: Any) -> Any:
            _, state, _, idle, count = carry
            grad = optax.tree.get(state, "grad")
            going = (jnp.linalg.norm(grad) > 1e-10) & (idle < 5) & (count < iterations)
            return going | (count == 0)

        def step(carry: Any) -> Any:
            theta, state, best, idle, count = carry
            value, grad = evaluate(theta, state=state)
            updates, state = solver.update(grad, state, theta, value=value, grad=grad, value_fn=problem.loss)
            theta = optax.apply_updates(theta, updates)
            new = optax.tree.get(state, "value")
            return theta, state, jnp.minimum(best, new), jnp.where(new < best, 0, idle + 1), count + 1

        best = jnp.full((), jnp.inf, theta.dtype)
        theta, _, _, _, count = jax.lax.while_loop(running, step, (theta, solver.init(theta), best, 0, 0))
        return jnp.linalg.norm(problem.gradient(theta)), count

    return _batched(minimise, starts)


def optimistix_run(starts: np.ndarray, problem: Any, name: str, iterations: int = 1000) -> Callable[[], dict[str, Any]]:
    """Optimistix' BFGS or L-BFGS under `vmap`, with our gradient; tolerances at 1e-12, relative and absolute."""
    try:
        import optimistix as optx
    except ImportError:
        raise Skipped("optimistix is not installed; pip install '.[peers]'.") from None
    import jax.numpy as jnp

    solver = {"BFGS": optx.BFGS, "LBFGS": optx.LBFGS}[name](rtol=1e-12, atol=1e-12)

    def minimise(theta: Any) -> Any:
        done = optx.minimise(lambda theta, _: problem.loss(theta), solver, theta, max_steps=iterations, throw=False)
        return jnp.linalg.norm(problem.gradient(done.value)), done.stats["num_steps"]

    return _batched(minimise, starts)


def _batched(minimise: Callable[[Any], Any], starts: np.ndarray) -> Callable[[], dict[str, Any]]:
    import jax
    import jax.numpy as jnp

    thetas = jnp.asarray(starts)
    compiled = jax.jit(jax.vmap(minimise)).lower(thetas).compile()

    def run() -> dict[str, Any]:
        norms, counts = jax.block_until_ready(compiled(thetas))
        return {"norms": np.asarray(norms), "iterations": int(np.sum(counts)), "longest": int(np.max(counts))}

    return run


def lbfgs_contest(k: int, restarts: int, rounds: int, only: set[str], sample: int) -> dict[str, Any]:
    """Minima a second by quasi-Newton methods. Peers under `vmap` run a sample of the restarts in one batch."""
    import landscape as ls

    problem = ls.orthonormal_teacher(k)
    starts = ls.start_points(problem, 0, np.arange(restarts))
    teacher = np.asarray(problem.teacher)
    few = starts[:sample]
    sample = len(few)
    makers: dict[str, Callable[[], Callable[[], dict[str, Any]]]] = {
        "optax-lbfgs": lambda: optax_lbfgs(few, problem),
        "optimistix-lbfgs": lambda: optimistix_run(few, problem, "LBFGS"),
        "optimistix-bfgs": lambda: optimistix_run(few, problem, "BFGS"),
    }
    found = _contest(
        makers,
        {"scipy-lbfgsb": restarts},
        "landscape-lbfgs",
        lambda: landscape_run(problem, restarts, "lbfgs"),
        only,
        starts,
        teacher,
        rounds,
        dict.fromkeys(makers, restarts / sample),
    )
    for one in found["contenders"].values():
        one["minima_per_second"] = {
            target: restarts * share / one["seconds"] for target, share in one["shares"].items()
        }
    return {"k": k, "restarts": restarts, **found}


DESCENT = ("torch-descent", "torch-dropping", "numpy-descent", "jax-while-loop")
LBFGS = ("scipy-lbfgsb", "optax-lbfgs", "optimistix-lbfgs", "optimistix-bfgs")
NAMES = ("gradient", "descent", "lbfgs", *DESCENT, *LBFGS)


# -- the record and its figure -----------------------------------------------------------------------------------------


def surroundings() -> dict[str, Any]:
    """Versions and machine."""
    from importlib.metadata import PackageNotFoundError, version

    from landscape.engine.environment import environment
    from landscape.engine.settings import Settings
    from landscape.host.bench.machine import machine

    where = environment(Settings()) | machine()
    where.pop("dtype")
    for name in ("scipy", "optax", "torch", "optimistix"):
        try:
            where[name] = version(name)
        except PackageNotFoundError:
            where[name] = None
    if hasattr(os, "sched_getaffinity"):
        where["affinity"] = sorted(os.sched_getaffinity(0))
    return where


PEER, OURS = "#7A7A7A", "#0072B2"
SHORT = {
    "landscape-in-the-driver": "ours, inside the driver",
    "landscape-flow": "ours: census of the flow, with labels",
    "landscape-lbfgs": "ours: batched L-BFGS, with labels",
    "landscape": "ours",
    "jax-naive": "JAX, vmap(grad(loss)), jnp.arccos",
    "numpy": "NumPy, batched",
    "torch-eager": "PyTorch eager",
    "torch-compile": "torch.compile",
    "torch-compile-autotuned": "torch.compile, autotuned",
    "torch-compile-last": "torch.compile, restarts last",
    "torch-compile-chunks": "torch.compile, in chunks",
    "torch-descent": "torch.compile, one batch",
    "torch-dropping": "torch.compile, finished ones dropped",
    "jax-while-loop": "JAX, vmap(while_loop)",
    "numpy-descent": "NumPy, one at a time, two processes",
    "scipy-lbfgsb": "SciPy L-BFGS-B, two processes",
    "optax-lbfgs": "optax.lbfgs under vmap",
    "optimistix-lbfgs": "optimistix L-BFGS under vmap",
    "optimistix-bfgs": "optimistix BFGS under vmap",
}


def panels(result: dict[str, Any]) -> list[tuple[str, list[tuple[str, float, str, bool]]]]:
    """The figure as text: title, and (name, times ours, note, ours?) of each bar, slowest first."""
    drawn = []

    def bars(contest: dict[str, Any], note: Callable[[dict[str, Any]], str]) -> list[tuple[str, float, str, bool]]:
        rows = [
            (SHORT.get(name, name), one["times_ours"], note(one), name.startswith("landscape"))
            for name, one in contest["contenders"].items()
        ]
        return sorted(rows, key=lambda row: -row[1])

    for contest in result.get("gradient", []):
        title = f"one gradient, k = n = {contest['k']}, {contest['dtype']}, {contest['restarts']} restarts"
        drawn.append((title, bars(contest, lambda one: f"{one['us_per_restart']:.2g} us")))
    for contest in result.get("descent", []):
        title = f"descent, k = n = {contest['k']}, {contest['restarts']} restarts"
        drawn.append(
            (title, bars(contest, lambda one: f"{one['seconds']:.3g} s, 90% <= {_power(one['grad_norm_90'])}"))
        )
    for contest in result.get("lbfgs", []):
        title = f"quasi-Newton, k = n = {contest['k']}, {contest['restarts']} restarts"
        note = lambda one: f"{one['seconds']:.3g} s, median norm {_power(one['grad_norm_median'])}"  # noqa: E731
        drawn.append((title, bars(contest, note)))
    return drawn


def _power(norm: float | None) -> str:
    return "not finite" if norm is None else f"{norm:.0e}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Bars of how many times longer than ours each takes, one panel a contest, as a PNG file."""
    from matplotlib.figure import Figure

    from landscape.figures.style import save

    drawn = panels(result)
    if not drawn:
        raise ValueError("the result holds no contest")
    columns = 2 if len(drawn) > 1 else 1
    rows = math.ceil(len(drawn) / columns)
    figure = Figure(figsize=(7.0 * columns, 0.4 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for ax, (title, bars) in zip(grid.flat, drawn, strict=False):
        places = range(len(bars))
        ax.barh(places, [bar[1] for bar in bars], color=[OURS if bar[3] else PEER for bar in bars], height=0.7)
        ax.set_yticks(places, [bar[0] for bar in bars], fontsize=8)
        ax.invert_yaxis()
        ax.axvline(1.0, color="#C8C8C8", linewidth=0.8, zorder=0)
        longest = max(bar[1] for bar in bars)
        for place, (_, times, note, _) in zip(places, bars, strict=True):
            ax.annotate(
                f"{times:.3g}x  ({note})", (times, place), (3, 0), textcoords="offset points", va="center", fontsize=7.5
            )
        ax.set_xlim(0, 1.75 * longest)
        ax.set_title(title, fontsize=9, loc="left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8)
    for ax in grid.flat[len(drawn) :]:
        ax.set_axis_off()
    where = result.get("environment", {})
    cores = f"{where.get('processor', '')}, {where.get('cores_used', '?')} cores"
    figure.suptitle(f"Time as a multiple of ours, in the same run: {cores}", fontsize=10)
    save(figure, path)


def main(arguments: list[str] | None = None) -> None:
    """Races, prints a table on the way, writes JSON and its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 20, 50], help="k = n of the gradients")
    parser.add_argument("--descent-sizes", type=int, nargs="+", default=[20])
    parser.add_argument("--lbfgs-sizes", type=int, nargs="+", default=[6, 20])
    parser.add_argument("--dtypes", nargs="+", choices=["float64", "float32"], default=["float64", "float32"])
    parser.add_argument("--restarts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7, help="of the gradients")
    parser.add_argument("--long-rounds", type=int, default=2, help="of descent and L-BFGS")
    parser.add_argument("--sample", type=int, default=64, help="restarts that NumPy's descent is measured on")
    parser.add_argument("--batch-sample", type=int, default=256, help="restarts of the quasi-Newton peers under vmap")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=[], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results")
    parser.add_argument("--draw", type=Path, nargs=2, metavar=("JSON", "PNG"), help="draw an earlier result and stop")
    asked = parser.parse_args(arguments)
    if asked.draw:
        draw(json.loads(asked.draw[0].read_text()), asked.draw[1])
        return
    only = set(asked.only)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache  # compile times are of compiling, and nothing is left behind
        keep_compiled(Path(cache))
        import jax
        from new_file import new_file

        platform = jax.local_devices()[0].platform
        out = asked.out or new_file(f"peers-{platform}.json")
        asks = {name: value for name, value in vars(asked).items() if name not in ("out", "draw")}
        result: dict[str, Any] = {"environment": surroundings(), "arguments": asks}

        def keep(kind: str, contest: dict[str, Any]) -> None:
            """Adds a contest and writes what there is: a long run that breaks off is not lost."""
            result.setdefault(kind, []).append(contest)
            out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
            title, bars = panels({kind: [contest]})[0]
            print(title)
            for name, times, note, _ in bars:
                print(f"  {name:40} {times:8.3g} x ours  ({note})")
            for name, why in contest["skipped"].items():
                print(f"  {name:40} skipped: {why}")
            sys.stdout.flush()

        if not only or "gradient" in only:
            for k in asked.sizes:
                for dtype in asked.dtypes:
                    keep("gradient", gradient_contest(k, asked.restarts, dtype, asked.rounds))
        if not only or only & {"descent", *DESCENT}:
            names = set() if "descent" in only else only & set(DESCENT)
            for k in asked.descent_sizes:
                keep("descent", descent_contest(k, asked.restarts, asked.long_rounds, names, asked.sample))
        if not only or only & {"lbfgs", *LBFGS}:
            names = set() if "lbfgs" in only else only & set(LBFGS)
            for k in asked.lbfgs_sizes:
                keep("lbfgs", lbfgs_contest(k, asked.restarts, asked.long_rounds, names, asked.batch_sample))
    picture = out.with_suffix(".png")
    draw(result, picture)
    print(out, picture)


if __name__ == "__main__":
    main()
