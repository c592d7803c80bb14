"""Tests run in 64-bit, as the command line does; hypothesis draws the same examples every time and never on a clock.

A process of the suite compiles thousands of programs; old ones are let go between files (see `_few_programs_are_kept`).
No program is compiled twice: the processes of a run, and those that tests start, share what they compile (see
`_kept_programs`).

With LANDSCAPE_TYPES=1, every call of the package's functions in the test process is checked against the types and
shapes of its annotations. Processes that a test starts are not, nor tests that are marked `wrong_types`.
"""

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else every program that is read back is a line on stderr
# The processes of a run share the cores: BLAS threads of one would wait, spinning, for those of another.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


import jax
import jaxtyping
import pytest
from hypothesis import settings

if os.environ.get("LANDSCAPE_TYPES") == "1":
    # An int may stand where a float is asked for (PEP 484, "the numeric tower"), as for pyright.
    jaxtyping.install_import_hook("landscape", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

jax.config.update("jax_enable_x64", True)


def _kept_programs() -> None:
    """Where compiled programs are kept, for this process, the workers of the run and the processes that tests start.

    A folder that is given is kept for the next run; else it goes with this one. Who reads what another is still writing
    is warned, and compiles.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder = tempfile.mkdtemp(prefix="compiled-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


_kept_programs()
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_types_where_they_are_wrong(request, monkeypatch):
    """A test that passes values of wrong types on purpose, to read the sentence that it gets, is not checked."""
    if request.node.get_closest_marker("wrong_types"):
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


def pytest_itemcollected(item):
    """A case that is long by one of its values is not slow by another."""
    if item.get_closest_marker("long"):
        item.own_markers = [mark for mark in item.own_markers if mark.name != "slow"]


def pytest_collection_finish():
    """The garbage collector does not walk what is there for good: modules and tests, 8 % of a run otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


# A compiled program takes some four mappings of memory. Linux allows a process 65,530 (vm.max_map_count); beyond, LLVM
# crashes the process. 10,000 keep a worker below 3 GiB too.
MAPPINGS = Path("/proc/self/maps")
MANY_MAPPINGS = 10_000


@pytest.fixture(autouse=True, scope="module")
def _few_programs_are_kept():
    """Compiled programs of earlier files are forgotten when they are many."""
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MANY_MAPPINGS:
        jax.clear_caches()
        gc.collect()  # those that hold one another
