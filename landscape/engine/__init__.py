"""Restarts in parallel: the only place where lanes are compiled, batched and sharded."""
