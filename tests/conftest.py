"""Tests run in 64-bit, as the command line does."""

import jax

jax.config.update("jax_enable_x64", True)
