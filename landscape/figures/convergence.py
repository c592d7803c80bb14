"""Laws along descents, students gathering at teachers, and shares by width and scale: figures from records."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from landscape.figures.style import DPI, EXTRA, EXTRA_MARKERS, FAINT, INK, Figure, quiet, small_print

DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)))  # a model each


def _curve(ax: Axes, curve: dict[str, Any], flip: bool, colour: str, line: Any, label: str, band: bool = False) -> None:
    """The median descent; `flip` puts the loss on the vertical axis."""
    loss = np.array(curve["loss"])
    low, middle, high = (np.array(curve[name], float) for name in ("low", "median", "high"))
    x, y = (middle, loss) if flip else (loss, middle)
    ax.plot(x, y, color=colour, linestyle=line, linewidth=1.8, label=label)
    if band and not flip:
        ax.fill_between(loss, low, high, color=colour, alpha=0.15, linewidth=0)


def _guide(ax: Axes, slope: float, x: np.ndarray, at: tuple[float, float], words: str) -> None:
    """A thin line of this slope through a point."""
    ax.plot(x, at[1] * (x / at[0]) ** slope, color=FAINT, linewidth=0.9, zorder=0)
    ax.annotate(words, (x[-1], at[1] * (x[-1] / at[0]) ** slope), (3, 3), textcoords="offset points",
                fontsize=9, color=FAINT)  # fmt: skip


def laws(record: dict[str, Any]) -> Figure:
    """Gradient norm against loss, and loss against time: the median descent of each model and width."""
    found = record["findings"]
    figure = Figure(figsize=(11.4, 5.2), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    models = list(dict.fromkeys(row["model"] for row in found["cases"]))
    widths = sorted({row["width"] for row in found["cases"]})
    for row in found["cases"]:
        colour, line = EXTRA[widths.index(row["width"]) % len(EXTRA)], DASHES[models.index(row["model"]) % len(DASHES)]
        label = f"{row['model']}, width {row['width']}"
        _curve(left, row["curves"]["grad_norm"], False, colour, line, label)
        _curve(right, row["curves"]["time"], True, colour, line, label)
    low, high = found["window"]
    x = np.array([high, low])
    _guide(left, 0.5, x, (high, 3e-2), "$L^{1/2}$")
    _guide(left, 2 / 3, x, (high, 1e-3), "$L^{2/3}$")
    t = np.array([30.0, 1e3])
    _guide(right, -3.0, t, (30.0, 1e-6), "$t^{-3}$")
    left.set(xscale="log", yscale="log", xlabel="loss L", ylabel="norm of the gradient")
    right.set(xscale="log", yscale="log", xlabel="time t of the gradient flow", ylabel="loss L")
    left.invert_xaxis()
    right.set_ylim(low / 2, 2 * high)
    for ax in (left, right):
        quiet(ax, grid="both")
    right.legend(frameon=False, fontsize=8.5, loc="upper right")
    each = record["restarts"] // max(1, len(found["cases"]))
    words = f"Gradient and rate near global minima: the median of {each} descents each"
    figure.suptitle(words, fontsize=11, x=0.01, ha="left")
    kinds = {"exponential": "exponentially", "power law": "like a power of time", "no power law": "by neither law"}
    cases = {kind: [f"{row['model']} {row['width']}" for row in found["cases"] if row["rate"]["name"] == kind]
             for kind in kinds}  # fmt: skip
    said = [f"{words}: {', '.join(cases[kind])}" for kind, words in kinds.items() if cases[kind]]
    small_print(left, f"the loss falls {'; '.join(said)}" if said else "")
    return figure


def matching(record: dict[str, Any]) -> Figure:
    """Angle of students to their teachers, and residual of the average neuron, against the loss."""
    found = record["findings"]
    figure = Figure(figsize=(11.4, 4.9), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, name, said in zip(axes, ("angle", "residual"), (
        "root mean square angle to the teacher (rad)", "|average neuron - teacher|"), strict=True):  # fmt: skip
        for i, row in enumerate(found["cases"]):
            for kind, curves in row["curves"].items():
                label = row["name"] + (" (no teacher matched)" if kind == "unmatched" else "")
                dash = DASHES[-1] if kind == "unmatched" else DASHES[i // len(EXTRA) % len(DASHES)]
                _curve(ax, curves[name], False, EXTRA[i % len(EXTRA)], dash, label, True)
        ax.set(xscale="log", yscale="log", xlabel="loss L", ylabel=said)
        ax.invert_xaxis()
        quiet(ax, grid="both")
    x = np.array([1e-4, found["window"][0]])
    _guide(axes[0], 1 / 3, x, (1e-4, 0.02), "$L^{1/3}$")
    _guide(axes[1], 2 / 3, x, (1e-4, 3e-4), "$L^{2/3}$")
    axes[1].legend(frameon=False, fontsize=8.5, loc="lower left")
    figure.suptitle("Students gather at teachers: medians of descents that end global, with 10% to 90%",
                    fontsize=11, x=0.01, ha="left")  # fmt: skip
    unmatched = [row for row in found["cases"] if row["unmatched_global"]]
    small_print(axes[0], "; ".join(
        f"{row['name']}: {row['unmatched_global']} of {row['labels']['global']} global ends match no teacher"
        for row in unmatched))  # fmt: skip
    return figure


def _shares(ax: Axes, x: list[float], cells: list[dict[str, Any]], label: str, i: int, kind: str, floor: float) -> None:
    """Shares of one label with their intervals; a share of zero is drawn as its upper limit, open, with an arrow."""
    colour, marker = EXTRA[i % len(EXTRA)], EXTRA_MARKERS[i % len(EXTRA_MARKERS)]
    share, low, high = (np.array([cell["shares"][kind][name] for cell in cells]) for name in ("share", "low", "high"))
    some = share > 0
    shown = np.where(some, share, np.maximum(high, floor))
    at = np.array(x, float)
    ax.plot(at[some], share[some], color=colour, linewidth=1.0, alpha=0.5)
    if some.any():
        error = np.maximum(0, [share[some] - low[some], high[some] - share[some]])
        ax.errorbar(at[some], share[some], error, fmt=marker, color=colour, markersize=6, capsize=2, label=label)
    open_ = {"color": colour, "markerfacecolor": "white", "markersize": 6}
    ax.plot(at[~some], shown[~some], marker, label=None if some.any() else label, **open_)
    for one, top in zip(at[~some], shown[~some], strict=True):
        ax.annotate("", (one, top / 1.5), (one, top), arrowprops={"arrowstyle": "->", "color": colour})


def extra_neurons(cells: list[dict[str, Any]]) -> Figure:
    """Share of spurious ends against the number of extra neurons, a line a teacher."""
    figure = Figure(figsize=(7.6, 5.0), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    teachers = sorted({cell["teacher"] for cell in cells})
    for i, k in enumerate(teachers):
        some = sorted((cell for cell in cells if cell["teacher"] == k), key=lambda cell: cell["width"])
        nudge = 0.06 * (i - (len(teachers) - 1) / 2)
        _shares(ax, [cell["width"] - k + nudge for cell in some], some, f"k = {k}", i, "spurious", 0.0)
    ax.set(yscale="log", xlabel="neurons more than the teacher, n - k", ylabel="share of descents that end spurious")
    ax.set_xticks(sorted({cell["width"] - cell["teacher"] for cell in cells}))
    for axis in (ax.yaxis.set_major_formatter, ax.yaxis.set_minor_formatter):
        axis(lambda y, _: f"{100 * y:g}%" if f"{y:e}"[0] in "125" else "")
    quiet(ax, grid="both")
    ax.legend(frameon=False, fontsize=9)
    ax.set_title("What one neuron more than the teacher does", fontsize=11, loc="left")
    small_print(
        ax, f"{cells[0]['restarts']} descents a cell, 95% intervals; open with an arrow: none seen, upper limit"
    )
    return figure


def scales(cells: list[dict[str, Any]]) -> Figure:
    """Share of global ends against the scale of the starts, a line a width."""
    figure = Figure(figsize=(7.6, 4.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    for i, extra in enumerate(sorted({cell["width"] - cell["teacher"] for cell in cells})):
        some = sorted((c for c in cells if c["width"] - c["teacher"] == extra), key=lambda cell: cell["init_scale"])
        name = "n = k" + (f" + {extra}" if extra else "")
        apart = 1.03**i  # so that equal shares do not hide each other
        _shares(ax, [apart * cell["init_scale"] for cell in some], some, name, i, "global", 0.0)
    ax.set(xscale="log", xlabel="scale of the starts, times N(0, 1/d)", ylabel="share of descents that end global")
    ax.set_ylim(0, 1.03)
    ax.axvline(1.0, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g}%")
    quiet(ax, grid="both")
    ax.legend(frameon=False, fontsize=9, loc="lower left")
    ax.set_title(f"Where descents end, by the scale of their starts, {cells[0]['teacher']} orthonormal teachers",
                 fontsize=11, loc="left")  # fmt: skip
    small_print(ax, f"{cells[0]['restarts']} descents a cell, 95% intervals; dashed: Safran and Shamir's starts")
    return figure
