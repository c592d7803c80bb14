"""A record of small runs of every study, bit for bit: what a change of the code must leave as it is.

    python benchmarks/record.py --out before.json                  on the tree before the change
    python benchmarks/record.py --against before.json              after it, on the same machine: what differs
    python benchmarks/record.py --against before.json --only lbfgs      those whose name holds this word
    python benchmarks/record.py --list

Every run goes through a public door: the command `landscape`, or `landscape.explore` and `landscape.label` from
Python. Of each is kept what it printed as JSON, without times, versions and folders, and every restart's row: numbers
in hexadecimal, so that equal means equal. The process runs on one core, because two take restarts in the order in which
they happen to come, and orbits are named by their first member. A persistent compilation cache
(JAX_COMPILATION_CACHE_DIR) makes the second record several times faster than the first.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

COLUMNS = ("restart", "status", "steps", "step_scale", "loss", "loss_error", "grad_norm", "moved", "min_curvature",
           "label", "flavour", "evidence", "by", "margin", "reason", "basin", "orbit")  # fmt: skip
LEFT_OUT = {"seconds", "environment"}  # of what is printed: different each time, or on each machine
MENTIONED = 12  # differences of one run that are printed

# The command line of each run, by name; together they are every study, every optimiser and every activation.
COMMANDS = {
    "a sweep": "run {sweep}",
    "gradient-descent": "run safran-shamir --teacher 6 --restarts 12",
    "float32, width above k": "run safran-shamir --teacher 3 --width 5 --restarts 6 --dtype float32",
    "many, several batches": "run safran-shamir --teacher 8 --restarts 40 --lanes 8 --optimiser flow",
    "lbfgs": "run safran-shamir --teacher 5 --width 6 --restarts 12 --optimiser lbfgs",
    "momentum": "run safran-shamir --teacher 4 --restarts 8 --optimiser momentum",
    "nesterov": "run safran-shamir --teacher 4 --restarts 8 --optimiser nesterov",
    "adam": "run safran-shamir --teacher 4 --restarts 6 --optimiser adam --step-size 0.01",
    "rmsprop": "run safran-shamir --teacher 3 --restarts 4 --optimiser rmsprop --step-size 0.001 --budget 5000",
    "table": "run safran-shamir-table --teachers 3 4 --extra 0 1 --restarts 4 --optimiser flow",
    "relu": "run teacher-student --teacher [[1,0],[0,1],[-1,-0.5]] --width 4 --restarts 12 --optimiser flow",
    "leaky_relu": "run teacher-student --teacher 3 --width 3 --activation leaky_relu --slope 0.1 --restarts 8",
    "abs": "run teacher-student --teacher 3 --width 2 --activation abs --restarts 6 --optimiser flow",
    "linear": "run teacher-student --teacher 2 --width 2 --activation linear --restarts 4",
    "quadratic": "run teacher-student --teacher 3 --width 3 --activation quadratic --restarts 8 --optimiser flow",
    "erf": "run teacher-student --teacher 3 --width 4 --activation erf --restarts 8 --optimiser flow",
    "gelu": "run teacher-student --teacher 3 --width 2 --activation gelu --restarts 8 --optimiser flow",
    "unconverged": "run teacher-student --teacher 5 --restarts 4 --budget 240 --retire 1e-9",
    "porcupine": "run porcupine --dimension 2 --restarts 24",
    "porcupine, unmatched": "run porcupine --lines 4 --dimension 2 --neurons 1 2 3 2 --teacher 3 --restarts 24",
    "porcupine-regions": "run porcupine-regions --restarts 12",
    "porcupine-landscape": "run porcupine-landscape --restarts 12",
    "porcupine-approximation": "run porcupine-approximation --lines 5 --teachers 1 --restarts 6",
    "porcupine-likelihood": "run porcupine-likelihood --neurons 2 3 --dimensions 1 2 --lines 5 --restarts 8",
    "porcupine-mismatch": "run porcupine-mismatch --neurons 2 --lines 4 --restarts 8",
    "hidden-convex": "run hidden-convex --widths 1 3 --restarts 12 --listed 2000",
    "hidden-convex, one width": "run hidden-convex --width 4 --restarts 10 --listed 0 --optimiser flow",
    "hidden-convex, logistic": "run hidden-convex --width 2 --data {logistic} --restarts 8 --listed 0",
    "hidden-convex, huber": "run hidden-convex --width 2 --loss huber --restarts 6 --listed 0",
    "hidden-convex, biases": "run hidden-convex --width 2 --bias regularised --outer-bias free --restarts 6 --listed 0",
    "hidden-convex, no decay": "run hidden-convex --width 3 --weight-decay 0 --restarts 6 --listed 0 --budget 4800",
    "hidden-convex, tanh": "run hidden-convex --width 2 --activation tanh --restarts 6 --listed 0",
    "minibatch": "run hidden-convex --width 2 --restarts 4 --listed 0 --optimiser minibatch:4",
    "critical-width": "run critical-width --widths 1 2 --restarts 6",
    "descending-path": "run descending-path --restarts 2 --steps 5",
    "intrinsic-dimension": "run intrinsic-dimension --dimension 2 --rows 5 10",
    "spurious-valley": "run spurious-valley --restarts 10",
    "valley-by-width": "run valley-by-width --widths 1 2 --restarts 10",
    "safran-shamir-topology": "run safran-shamir-topology --teacher 6 --restarts 40 --searches 40",
    "saddle-census": "run saddle-census --teacher 4 --restarts 60",
    "mode-connectivity": "run mode-connectivity --first {network} --steps 200",
    "lojasiewicz": "run lojasiewicz --model abs --widths 2 --restarts 8",
    "student-matching": "run student-matching --model abs --widths 3 --restarts 8",
    "overparametrise": "run overparametrise --teachers 3 4 --extra 0 1 --restarts 6",
    "init-scale": "run init-scale --teacher 4 --hundredths 10 100 --restarts 6",
    "spurious-families": "run spurious-families --teachers 6 --restarts 12",
    "split-and-escape": "run split-and-escape --teachers 6 --restarts 2",
    "grow, relu": "run grow-until-global --family relu --rows 8 --restarts 4",
    "grow, quadratic": "run grow-until-global --family quadratic --rows 6 --dimension 2 --restarts 3",
    "grow, deep_relu": "run grow-until-global --family deep_relu --rows 5 --dimension 2 --restarts 2",
    "grow, matrix": "run grow-until-global --family matrix --rows 4 --dimension 3 --restarts 4",
    "grow, logistic": "run grow-until-global --rows 6 --dimension 2 --restarts 2 --loss logistic",
    "degree-mismatch": "run degree-mismatch --restarts 12",
    "zero-subnetwork": "run zero-subnetwork --widths 2 4 --rows 5 --restarts 8",
    "gallery": "run gallery xor-sigmoid --restarts 6 --optimiser lbfgs",
    "label, teacher-student": "label {student} --json",
    "label, data": "label {network} --json --improve",
    "label, porcupine": "label {lines} --json",
}  # fmt: skip


def main() -> None:
    """Makes a record, or compares one with this tree; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the record here")
    parser.add_argument("--against", type=Path, help="a record to compare with")
    parser.add_argument("--only", default="", help="runs whose name holds this word")
    parser.add_argument("--list", action="store_true", help="names of the runs, and nothing else")
    asked = parser.parse_args()
    names = [name for name in (*COMMANDS, *PYTHON) if asked.only in name]
    if asked.list:
        print("\n".join(names))
        return
    if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    _check_complete()
    before = json.loads(asked.against.read_text()) if asked.against else None
    found: dict[str, Any] = {}
    differing = []
    for name in names:
        begun = time.perf_counter()
        found[name] = one(name)
        said = f"{name}: {time.perf_counter() - begun:.1f} s"
        if before is not None:
            differences = list(compared(before.get(name), found[name]))
            differing += [name] if differences else []
            said += ", equal" if not differences else f", {len(differences)} differences"
            said += "".join(f"\n    {text}" for text in differences[:MENTIONED])
        print(said, flush=True)
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1))
    if before is not None:
        print(f"{len(names) - len(differing)} of {len(names)} runs are equal" + (
            f"; these differ: {', '.join(differing)}" if differing else ""))  # fmt: skip
        sys.exit(1 if differing else 0)


def one(name: str) -> Any:
    """The record of the run of this name; what it raised where it raised."""
    try:
        return _bits(PYTHON[name]() if name in PYTHON else _command(COMMANDS[name]))
    except Exception as error:  # a record of a defect: what came of the run
        return {"raised": f"{type(error).__name__}: {error}"}


def compared(before: Any, after: Any, where: str = "") -> Iterator[str]:
    """What differs between two records, a line each."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            if key not in before or key not in after:
                yield f"{where}/{key}: only {'after' if key in after else 'before'}"
            else:
                yield from compared(before[key], after[key], f"{where}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from compared(one, other, f"{where}/{i}")
    elif before != after:
        yield f"{where}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = f"{value} ({float.fromhex(value):.10g})" if isinstance(value, str) and value[:3] in ("0x0", "0x1") else None
    return (text or json.dumps(value))[:160]


def _bits(value: Any) -> Any:
    """The same with floats as hexadecimal, and without what is different each time."""
    if isinstance(value, dict):
        return {str(key): _bits(one) for key, one in value.items() if key not in LEFT_OUT}
    if isinstance(value, list | tuple):
        return [_bits(one) for one in value]
    return value.hex() if isinstance(value, float) else value


def _check_complete() -> None:
    """Raises AssertionError unless every study and optimiser has a run."""
    from landscape.descent import OPTIMISERS
    from landscape.studies import STUDIES

    words = {word.strip("{}") for command in COMMANDS.values() for word in command.split()} | {"gradient-descent"}
    missing = [name for name in (*STUDIES, *OPTIMISERS) if name not in words]
    assert not missing, f"no run of {', '.join(missing)} is recorded"


# -- through the command line ------------------------------------------------------------------------------------------


def _command(line: str) -> dict[str, Any]:
    """What the command prints as JSON, and the rows that it stores."""
    with tempfile.TemporaryDirectory() as temporary:
        files = _files(Path(temporary))
        arguments = [word.format(**files) if word[0] == "{" else word for word in line.split()]
        folder = Path(temporary) / "run"
        if arguments[0] == "run":
            arguments += ["--json", "--quiet", "--out", str(folder)]
        status, printed = _called(arguments)
        said = json.loads(printed) if printed else None
        return {"status": status, "printed": said, "rows": _stored(folder)}


def _called(arguments: list[str]) -> tuple[Any, str]:
    """Exit status and standard output of the command `landscape`, called in this process."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["landscape"].partition(":")
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            getattr(importlib.import_module(module), function)(arguments)
    except SystemExit as stop:
        return stop.code, output.getvalue()
    return None, output.getvalue()


def _stored(folder: Path) -> dict[str, Any]:
    """Rows of all shards in a folder and those below it: by folder and restart, values in the order of COLUMNS."""
    import pyarrow.parquet as pq

    rows: dict[str, Any] = {}
    for path in sorted(folder.rglob("*.parquet")):
        if not set(COLUMNS) <= set(pq.read_schema(path).names):
            continue  # looks at descents on their way
        place = str(path.parent.parent.relative_to(folder))
        columns = pq.read_table(path, columns=list(COLUMNS)).to_pydict()
        for values in zip(*columns.values(), strict=True):
            rows.setdefault(place, {})[str(values[0])] = list(values)
    return rows


def _files(folder: Path) -> dict[str, str]:
    """Files that commands name in braces."""
    data = {"x": [[1.0, 0.2], [-0.4, 1.0], [0.3, -1.1], [-0.8, -0.5]], "y": [1.0, -0.5, 0.4, 0.2]}
    contents = {
        "logistic": {**data, "y": [1, -1, 1, -1], "loss": "logistic", "weight_decay": 0.2},
        "student": {
            "teacher": [[1.0, 0.0], [0.0, 1.0]],
            "hidden": [[[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.4], [0.4, 0.5]], [[0.0, 0.0], [0.7, 0.7]]],
        },
        "network": {
            **data,
            "weight_decay": 0.1,
            "hidden": [[[0.5, 0.1], [-0.2, 0.3]], [[0.0, 0.0], [0.0, 0.0]]],
            "outer": [[0.4, -0.3], [0.0, 0.0]],
        },
        "lines": {
            "lines": [[1.0, 0.0], [0.6, 0.8]],
            "teacher": [[0.0, 1.0], [1.0, -0.3]],
            "line_of": [0, 0, 1],
            "coefficient": [1.0, -0.5, 0.3],
        },
    }
    for name, content in contents.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "sweep.toml").write_text('study = "safran-shamir"\nteacher = [2, 3]\nrestarts = 4\n')
    return {name: str(folder / f"{name}.json") for name in contents} | {"sweep": str(folder / "sweep.toml")}


# -- from Python -------------------------------------------------------------------------------------------------------


def _explored(problem: Any, restarts: int, **settings: Any) -> dict[str, Any]:
    """The census and all rows of a run from Python."""
    import numpy as np

    import landscape as ls

    census = ls.explore(problem, restarts, progress=False, **settings)
    rows = census.rows
    order = np.argsort(rows["restart"])
    columns = [np.asarray(rows[name])[order].tolist() for name in COLUMNS]
    return {"printed": census.as_dict(), "rows": [list(values) for values in zip(*columns, strict=True)]}


def _valley(symmetric: bool, **settings: Any) -> Callable[[], Any]:
    """Descents of a user's own loss, two weights whose product is 1 and a third in a double well."""

    def run() -> Any:
        import jax
        import jax.numpy as jnp

        import landscape as ls

        problem = ls.from_loss(
            lambda w: (w[0] ** 2 - 1) ** 2 + 0.1 * w[0] + (w[1] ** 2 - 0.5) ** 2,
            lambda key: jax.random.normal(key, (2,), jnp.float64),
            symmetry=(lambda w: jnp.array([w[0], jnp.abs(w[1])])) if symmetric else None,
        )
        return _explored(problem, 12, **settings)

    return run


def _optax() -> Any:
    import optax

    import landscape as ls

    return _explored(ls.orthonormal_teacher(3, 4), 6, optimiser=optax.adamw(0.02, weight_decay=0.0))


def _parallel(family: str) -> Callable[[], Any]:
    """Descents of a parallel network on random data."""

    def run() -> Any:
        import numpy as np

        import landscape as ls

        rng = np.random.default_rng(0)
        if family == "matrix":
            return _explored(ls.matrix_factorisation(rng.normal(size=(3, 3)), 2, 0.3), 8)
        x, y = rng.normal(size=(5, 2)), rng.normal(size=5)
        return _explored(ls.parallel(x, y, 2, family, 0.05), 6, budget=24_000)

    return run


def _starts() -> Any:
    """Descents from given points, some to saddles."""
    import numpy as np

    import landscape as ls

    problem = ls.orthonormal_teacher(3)
    starts = np.random.default_rng(1).normal(size=(6, 3, 3))
    starts[3:, 1] = starts[3:, 0]  # equal neurons stay equal: a saddle
    starts[5, 2] = starts[5, 0]
    return _explored(problem, 6, starts=starts.reshape(6, -1))


def _labels() -> Any:
    """Verdicts of points of problems that no points file can name."""
    import jax.numpy as jnp
    import numpy as np

    import landscape as ls

    rng = np.random.default_rng(0)
    well = ls.from_loss(lambda w: jnp.sum((w**2 - 1) ** 2), lambda key: jnp.ones(2), 0.0)
    factored = ls.matrix_factorisation(rng.normal(size=(3, 2)), 1, 0.2)
    said = [ls.label(well, np.array(w)) for w in ([1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [0.9, 1.1], [3.0, 0.0])]
    said += [ls.label(factored, factored.read(theta)) for theta in (np.zeros(factored.p), rng.normal(size=factored.p))]
    return [verdict.as_dict() for verdict in said]  # pyright: ignore[reportAttributeAccessIssue]


PYTHON: dict[str, Callable[[], Any]] = {
    "from_loss": _valley(symmetric=False),
    "from_loss, symmetry": _valley(symmetric=True, optimiser="flow"),
    "from_loss, float32": _valley(symmetric=True, dtype="float32"),
    "optax": _optax,
    "matrix_factorisation": _parallel("matrix"),
    "parallel, quadratic": _parallel("quadratic"),
    "parallel, deep_relu": _parallel("deep_relu"),
    "given starts": _starts,
    "labels": _labels,
}

if __name__ == "__main__":
    main()
