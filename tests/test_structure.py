"""The flow is the folder: imports point one way, nothing but the host touches the world, start-up needs no JAX."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import landscape

ROOT = Path(landscape.__file__).parent
# Each stage, a module or a folder, may import those before it. Within a folder there are no circles.
STAGES = (
    "palette",
    "markup",
    "records",
    "patience",
    "arrays",
    "closures",
    "mappings",
    "precision",
    "problems",
    "descent",
    "polish",
    "spectrum",
    "fits",
    "paths",
    "theory",
    "gallery",
    "classify",
    "engine",
    "census",
    "trajectory",
    "topology",
    "figures",
    "report",
    "host",
    "studies",
    "cli",
    "__main__",
)
BLIND = {"descent", "polish"}  # they see functions and a vector, not a network
NETWORKS = ("problems.activation", "problems.params", "problems.teacher_student", "problems.empirical", "theory")
FAMILIES = {"TeacherStudent", "TiedStudent", "Porcupine", "Empirical", "Homogeneous", "UserLoss", "OuterWeights"}


@cache
def _modules() -> dict[str, Path]:
    names = {p: ".".join(p.relative_to(ROOT).with_suffix("").parts) for p in ROOT.rglob("*.py")}
    return {name: path for path, name in names.items() if not name.endswith("__init__")}


@cache
def _imports(path: Path) -> set[str]:
    """Modules of the package that a file imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("landscape"):
            inner = node.module.removeprefix("landscape").removeprefix(".")
            found |= {f"{inner}.{alias.name}".strip(".") for alias in node.names} | ({inner} if inner else set())
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("landscape.") for alias in node.names if alias.name.startswith("landscape.")
            }
    return found & set(_modules())


def _stage(name: str) -> int:
    return STAGES.index(name.split(".")[0])


def test_every_module_belongs_to_a_stage():
    assert {name.split(".")[0] for name in _modules()} == set(STAGES)


def test_every_module_imports():
    for name in set(_modules()) - {"__main__", "cli.__main__"}:  # these are programs
        assert importlib.import_module(f"landscape.{name}").__doc__, f"{name} does not say what it is about"


def test_imports_point_the_way_the_data_walks():
    for name, path in _modules().items():
        late = {used for used in _imports(path) if _stage(used) > _stage(name)}
        assert not late, f"{name} imports {late}, which come after it"


def test_there_are_no_circles():
    order = list(TopologicalSorter({name: _imports(path) for name, path in _modules().items()}).static_order())
    assert set(order) == set(_modules())


def test_rooms_do_not_import_rooms():
    rooms = {
        "teacher_student",
        "outer_weights",
        "tied",
        "local_convergence",
        "porcupine",
        "convex",
        "growth",
        "own_loss",
        "spurious_valleys",
    }
    # Growth is the theory of any parallel network, two-layer ReLU networks on data included: it builds on convex.
    allowed = {("growth", "convex")}
    for name, path in _modules().items():
        parts = name.split(".")
        if parts[0] == "theory" and parts[1] in rooms:
            others = {used.split(".")[1] for used in _imports(path) if used.startswith("theory.")} & rooms - {parts[1]}
            assert not {(parts[1], other) for other in others} - allowed, f"{name} imports {others}"


def test_descent_and_polish_see_no_network():
    for name, path in _modules().items():
        if name.split(".")[0] in BLIND:
            assert not {used for used in _imports(path) if used.startswith(NETWORKS)}


def _calls(path: Path, function: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            yield node


def test_only_rooms_and_problems_ask_which_family_a_problem_is_of():
    for name, path in _modules().items():
        if name.startswith(("problems.", "theory.")):
            continue
        asked = {
            one.id for call in _calls(path, "isinstance") for one in ast.walk(call.args[1]) if isinstance(one, ast.Name)
        }
        assert not asked & FAMILIES, f"{name} asks whether a problem is {asked & FAMILIES}"


def test_nothing_asks_what_a_thing_has():
    """`hasattr` is for what the system offers, and for `__fingerprint__`; not for what our own records are."""
    for name, path in _modules().items():
        for call in _calls(path, "hasattr"):
            subject, attribute = (ast.unparse(one) for one in call.args[:2])
            system = subject in ("os", "signal", "builtins") or attribute.strip("'\"") == "__fingerprint__"
            assert system, f"{name}: {ast.unparse(call)}"


def _run_in_a_fresh_process(code):
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


def test_help_and_import_need_no_jax():
    code = (
        "import sys, landscape; from landscape import cli\n"
        "try: cli.main(['studies'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert 'jax' not in sys.modules, 'jax was imported'"
    )
    _run_in_a_fresh_process(code)


def test_importing_the_package_changes_no_global_setting():
    code = (
        "import jax; before = dict(jax.config.values)\n"
        "import landscape, landscape.host.explore, landscape.host.label\n"
        "landscape.explore(landscape.orthonormal_teacher(2), 4, progress=False)\n"
        "assert {name: jax.config.values[name] for name in before} == before"
    )
    _run_in_a_fresh_process(code)


def test_every_public_name_is_there_and_an_unknown_one_is_named():
    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        landscape.no_such_name  # noqa: B018
