"""The room of losses that users bring: what evaluations, their rounding error and derivatives say of a point."""
