"""Tests run in 64-bit, as the command line does; hypothesis draws the same examples every time and never on a clock."""

import jax
from hypothesis import settings

jax.config.update("jax_enable_x64", True)
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")
