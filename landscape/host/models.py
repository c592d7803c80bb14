"""Two-layer networks of other libraries, from Python and from files, as points on a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landscape.host import files
from landscape.host.points import WEIGHTS, data_problem, read_data, read_points
from landscape.problems.empirical import Empirical
from landscape.problems.models import model_of, recognised
from landscape.problems.params import Params
from landscape.records import InputError, numbers, real


def from_model(
    model: Any,
    x: Any,
    y: Any,
    weight_decay: float | None = None,
    reduction: str | None = None,
    bias: str | Mapping[str, str] | None = None,
    activation: str | None = None,
    loss: str = "squared",
    slope: float = 0.01,
) -> tuple[Empirical, Params]:
    """The landscape that a trained two-layer network lies in, and the network as a point of it.

    A model that predicts is believed only where its predictions, at the data and at random inputs, are those of the
    two layers with one of the activations known here. What a model does not say has to be given.

    Args:
        model: A PyTorch module or its `state_dict`, an Equinox or nnx module, a linen module bound to its variables or
            those variables, a fitted `MLPRegressor`; or the content of a file, arrays by name.
        x: The inputs that it was trained on, [n, d].
        y: The targets, [n] or [n, 1].
        weight_decay: As it was trained with, 0 if there was none.
        reduction: The loss that the weight decay goes with: "sum_half", "sum" or "mean", as `empirical.converted` says.
        bias: How the biases are penalised, "regularised" or "free", for both or as {"hidden": ..., "outer": ...}.
        activation: One of `activation.ACTIVATIONS`; needed with weights alone.
        loss: "squared", "logistic" or "huber".
        slope: Of leaky_relu.

    Raises:
        InputError: It is another network, something that is needed was not said, or a shape does not fit.
    """
    given = {"weight_decay": weight_decay, "reduction": reduction, "bias": bias, "activation": activation}
    said = {name: value for name, value in given.items() if value is not None}
    return _from(model, said | {"x": x, "y": y, "loss": loss, "slope": slope}, "the model")


def _from(model: Any, content: dict[str, Any], where: Path | str) -> tuple[Empirical, Params]:
    """The record of `from_model`, of facts by name."""
    x = numbers(content["x"], "x")
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"x must be a matrix, one input a row; found an array of shape {x.shape}.")
    found = model_of(model, len(x))
    content = {**found.facts, **content}
    slope = real("slope", content.get("slope", 0.01))
    network, content["activation"] = recognised(found, x, content.get("activation"), slope)
    if "weight_decay" not in content:
        raise InputError(
            "a model does not say its weight_decay; give it: 0 if there was none, alpha rows / batch for an "
            "MLPRegressor that was not trained on all rows at once."
        )
    decayed = real("weight_decay", content["weight_decay"], least=0) != 0
    biased = network.hidden_bias is not None or network.outer_bias is not None
    for name, needed, known in (
        (
            "reduction",
            decayed,
            "mean, sum or sum_half: what weight decay was added to, the mean or a sum over the rows",
        ),
        ("bias", decayed and biased, "regularised (weight decay on biases too, as PyTorch and optax have it) or free"),
    ):
        if name not in content and needed:
            raise InputError(f"a model does not say its {name}; give it: {known}.")
    content.setdefault("bias", "free" if biased else "none")  # without weight decay it is all the same
    weights = {name: part for name, part in network._asdict().items() if part is not None}
    problem = data_problem({**content, "x": x, **weights}, where, len(network.hidden))
    return problem, network


def read(
    path: Path, data: Path | None = None, **given: Any
) -> tuple[Any, np.ndarray | list[Params], np.ndarray | None]:
    """What `points.read_points` gives; with a data file, for a file of weights by the names of a model.

    Args:
        path: Of the points or of the model.
        data: A file with x and y, and with what the network was trained on, by the names of `landscape guide files`.
        **given: Fields that take the place of those of the data file; None for those that do not.

    Raises:
        InputError: As for `read_points` and `from_model`.
    """
    given = {name: value for name, value in given.items() if value is not None}
    if data is None:
        if given:
            raise InputError(
                f"{next(iter(given))} is for a model with --data FILE; else the file of the points says it."
            )
        return read_points(path)
    model, content = files.read(path), read_data(data)
    if not isinstance(model, Mapping):
        raise InputError(f"{path} must hold arrays by name.")
    for name in WEIGHTS:
        if name in content:
            raise InputError(f"{data} has {name!r}, and so has the model.")
    content = {
        name: one.item() if np.ndim(one) == 0 and isinstance(one, np.ndarray) else one for name, one in content.items()
    }
    try:
        problem, network = _from(model, content | given, data)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return problem, [network], None
