"""Tests run in 64-bit, as the command line does; hypothesis draws the same examples every time and never on a clock.

A process of the suite compiles thousands of programs; old ones are let go between files (see `_few_programs_are_kept`).

With LANDSCAPE_TYPES=1, every call of the package's functions in the test process is checked against the types and
shapes of its annotations. Processes that a test starts are not, nor tests that are marked `wrong_types`.
"""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else every program that is read back is a line on stderr

import jax
import jaxtyping
import pytest
from hypothesis import settings

if os.environ.get("LANDSCAPE_TYPES") == "1":
    # An int may stand where a float is asked for (PEP 484, "the numeric tower"), as for pyright.
    jaxtyping.install_import_hook("landscape", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

jax.config.update("jax_enable_x64", True)
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True)
def _no_types_where_they_are_wrong(request, monkeypatch):
    """A test that passes values of wrong types on purpose, to read the sentence that it gets, is not checked."""
    if request.node.get_closest_marker("wrong_types"):
        monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# A compiled program takes some four mappings of memory. Linux allows a process 65,530 (vm.max_map_count); beyond, LLVM
# crashes the process. 10,000 keep a worker below 3 GiB too.
MAPPINGS = Path("/proc/self/maps")
MANY_MAPPINGS = 10_000


@pytest.fixture(autouse=True, scope="module")
def _few_programs_are_kept():
    """Compiled programs of earlier files are forgotten when they are many."""
    if MAPPINGS.exists() and len(MAPPINGS.read_bytes().splitlines()) > MANY_MAPPINGS:
        jax.clear_caches()


@pytest.fixture(autouse=True, scope="session")
def _equal_programs_are_compiled_once(tmp_path_factory):
    """A program that this process compiled before, for a function made anew or forgotten since, is read back.

    Two of five compilations of the suite are such. Every process has a folder of its own: none reads what another is
    about to write.
    """
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
