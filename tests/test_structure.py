"""The flow is the folder: imports point one way, nothing but the host touches the world, start-up needs no JAX."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import landscape

ROOT = Path(landscape.__file__).parent
# Each may import what stands before it.
ORDER = [
    "records",
    "problems.defaults",
    "problems.network",
    "problems.symmetry",
    "problems.gaussian",
    "problems.problem",
    "problems.population",
    "problems.porcupine",
    "problems.data",
    "problems.empirical",
    "problems.homogeneous",
    "restart",
    "descent",
    "polish",
    "spectrum",
    "theory.teacher_student",
    "theory.porcupine",
    "theory.arrangement",
    "theory.convex.program",
    "theory.convex.optimal_set",
    "theory.convex.path",
    "theory.convex.oracles",
    "theory.convex.local_minima",
    "theory.convex.undecayed",
    "theory.convex.stationary",
    "theory.homogeneous_growth",
    "classify",
    "host.blocks",  # as "host.lanes" on its way to an engine of its own, below the census
    "host.lanes",
    "host.plan",
    "census.text",
    "census.statistics",
    "census.levels",
    "census.census",
    "census.assemble",
    "census.spectra",
    "trajectory",
]
ABOVE = ("host", "figures", "studies", "cli")  # whoever touches the world or draws; they import each other downward
BLIND = {"descent", "polish"}  # they see functions and a vector, not a network


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("landscape"):
            inner = node.module.removeprefix("landscape").removeprefix(".")
            found |= {f"{inner}.{alias.name}".strip(".") for alias in node.names} | ({inner} if inner else set())
        elif isinstance(node, ast.Import):
            found |= {
                alias.name.removeprefix("landscape.") for alias in node.names if alias.name.startswith("landscape.")
            }
    return found


def _above(name: str) -> bool:
    return name.split(".")[0] in ABOVE and name not in ORDER


def test_imports_point_the_way_the_data_walks():
    files = {str(p.relative_to(ROOT).with_suffix("")).replace("/", "."): p for p in ROOT.rglob("*.py")}
    core = {name: path for name, path in files.items() if not name.endswith("__init__") and not _above(name)}
    assert set(core) == set(ORDER), "a new module needs its place in ORDER"
    for name, path in core.items():
        used = {module for module in _imports(path) if module in files}
        late = {module for module in used if _above(module) or ORDER.index(module) >= ORDER.index(name)}
        assert not late, f"{name} imports {late}, which come after it"


def test_descent_and_polish_see_no_network():
    for name in BLIND:
        used = _imports(ROOT / f"{name}.py")
        assert not {m for m in used if m.startswith(("problems.network", "problems.population", "theory"))}


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
        "assert dict(jax.config.values) == before"
    )
    _run_in_a_fresh_process(code)


def test_every_public_name_is_there_and_an_unknown_one_is_named():
    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        landscape.no_such_name  # noqa: B018


def test_the_upper_folders_import_downward():
    """Whoever runs stands below whoever draws, names studies, or reads the command line."""
    files = {str(p.relative_to(ROOT).with_suffix("")).replace("/", "."): p for p in ROOT.rglob("*.py")}
    upper = {name: path for name, path in files.items() if _above(name)}
    assert len({name.split(".")[0] for name in upper}) == len(ABOVE), "a folder has no file: the test saw nothing"
    for name, path in upper.items():
        rank = ABOVE.index(name.split(".")[0])
        late = {m for m in _imports(path) if m.split(".")[0] in ABOVE[rank + 1 :]}
        assert not late, f"{name} imports {late}, which stand above it"
