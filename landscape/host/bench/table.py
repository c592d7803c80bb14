"""The lines that a bench prints."""

from __future__ import annotations

from typing import Any

from landscape.host.bench.work import ANGLE

ROWS = {
    "gradient": "gradient",
    "loss": "loss",
    "hessian": "Hessian",
    "newton": "Newton step",
    "descent": "gradient in descent",
    "census": "whole census",
}
COLUMNS = "{:>4} {:>9} {:8} {:20} {:>9} {:>12} {:>9} {:>9} {:>9}  {}"
FOOTER = """\
Fractions count what the formulas need, not what the program does; 'of limit' is the larger of those of the matrix
product rate and of the copy. Where neither reaches 0.5, elementwise work (angles) and overhead bind, and the fraction
of the multiply-add rate stands beside it. Microseconds are per restart; compilation is kept apart."""


def heading(where: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The lines above the table: machine, limits, columns."""
    cores = f"{where['cores_used']} of {where['cores']} cores"
    return [
        f"{where['processor']}, {cores}; {where['devices']} x {where['platform']}; JAX {where['jax']}",
        f"limits: copy {found['copy_gbytes']:.1f} GB/s"
        + "".join(
            f"; {name} matrix product {found[name]['matmul_gflops']:.0f}, "
            f"elementwise {found[name]['elementwise_gflops']:.0f} GFLOP/s"
            for name in ANGLE
            if name in found
        ),
        "",
        COLUMNS.format(
            "k=n", "restarts", "dtype", "what", "compile s", "us each", "of matmul", "of copy", "of limit", "what binds"
        ),
    ]


def table_rows(cell: dict[str, Any]) -> list[str]:
    """The lines of one cell."""
    lines = []
    for key, name in ROWS.items():
        one = cell[key]
        dtype = "float64" if key in ("hessian", "newton") else cell["dtype"]
        start = (cell["k"], one.get("batch", one.get("restarts")), dtype, name)
        if "error" in one:
            lines.append(COLUMNS.format(*start, "-", "-", "-", "-", "-", one["error"]))
            continue
        compiled = f"{one['compile_seconds']:.2f}" if "compile_seconds" in one else ""
        each = f"{one['us']:.3g}" if one["us"] < 1000 else f"{one['us']:.0f}"
        if key == "census":
            labels = ", ".join(f"{count} {label}" for label, count in one["labels"].items() if count)
            said = f"{one['restarts_per_second']:.3g} a second: {labels}"
            if "left_out" in cell:
                said += f" ({cell['left_out']})"
            lines.append(COLUMNS.format(*start, compiled, each, "", "", "", said))
            continue
        said = one["binds"]
        if said == "elementwise work":
            said += f" and overhead ({one['of_elementwise']:.2f})"
        if "of_bare_gradient" in one:
            said += f"; {one['of_bare_gradient']:.2f} of the bare gradient's rate"
        parts = [f"{one[f]:.2f}" for f in ("of_matmul", "of_copy", "of_limit")]
        lines.append(COLUMNS.format(*start, compiled, each, *parts, said))
    return lines
