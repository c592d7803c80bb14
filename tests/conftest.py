"""Tests run in 64-bit, as the command line does; hypothesis draws the same examples every time and never on a clock.

With LANDSCAPE_TYPES=1, every call of the package's functions in the test process is checked against the types and shapes
of its annotations. Processes that a test starts are not.
"""

import os

import jax
from hypothesis import settings

if os.environ.get("LANDSCAPE_TYPES") == "1":
    from jaxtyping import install_import_hook

    # An int may stand where a float is asked for (PEP 484, "the numeric tower"), as for pyright.
    install_import_hook("landscape", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

jax.config.update("jax_enable_x64", True)
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
