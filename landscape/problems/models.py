"""Models of PyTorch, Flax, Equinox and scikit-learn as they are: arrays by name, and two-layer networks among them.

No library is imported here: a model is known by what it offers. A two-layer network is believed only where the model's
own predictions, wherever it makes any, are those of that network.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from landscape.precision import float64
from landscape.problems.activation import ACTIVATIONS, Activation, activation
from landscape.problems.params import Params
from landscape.problems.partition import floating, named
from landscape.records import InputError, numbers, plain, shortened

ELSEWHERE = "other models go into landscape.from_loss: `landscape guide own-loss`"
FIRST = "which of the two layers comes first cannot be seen; give hidden and outer by name: `landscape guide files`."
PROBES = 64  # random inputs, beside the data, at which predictions are compared
OF_SCIKIT = {"identity": "linear", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}


class Model(NamedTuple):
    """What a model says of itself.

    Attributes:
        arrays: Its floating-point arrays by name.
        predict: Inputs [n, d] -> outputs; None where there are weights alone.
        facts: What it was trained on, as far as it says: activation, weight_decay, reduction, bias.
    """

    arrays: dict[str, Any]
    predict: Callable[[np.ndarray], Any] | None = None
    facts: Mapping[str, Any] = {}


def model_of(model: Any, rows: int) -> Model:
    """The arrays and predictions of a model.

    That is a PyTorch module or its `state_dict`, a fitted `MLPRegressor`, an Equinox or nnx module, a linen module
    bound to its variables, or those variables alone.

    Args:
        model: As it is.
        rows: Of the data that it was trained on.

    Raises:
        InputError: It is none of these, or holds arrays that are no trained weights.
    """
    if _offers(model, "coefs_", "intercepts_", "predict"):
        return _of_scikit(model, rows)
    if _offers(model, "named_parameters", "state_dict", "named_buffers"):
        return _of_torch(model)
    if _offers(model, "apply", "bind", "tabulate"):
        return _of_linen(model)
    if isinstance(model, Mapping) and all(isinstance(name, str) for name in model):
        return Model(_arrays(model))
    if callable(model):
        return Model(_arrays(model), jax.vmap(model))
    raise InputError(
        f"a model must be a module, its weights by name, or a fitted MLPRegressor; found {shortened(model)}."
    )


def _offers(model: Any, *names: str) -> bool:
    return not isinstance(model, type) and all(getattr(model, name, None) is not None for name in names)


def _of_scikit(model: Any, rows: int) -> Model:
    if getattr(model, "loss", None) != "squared_error":
        raise InputError("of scikit-learn's networks MLPRegressor with the squared error is read.")
    weights = {f"{i}.kernel": one for i, one in enumerate(model.coefs_)}
    biases = {f"{i}.bias": one for i, one in enumerate(model.intercepts_)}
    facts = {"activation": OF_SCIKIT[model.activation], "reduction": "sum_half", "bias": "free"}
    # The penalty of a batch is alpha / 2 |W|^2 over the rows of the batch: with small batches it is another loss.
    batch = 200 if model.batch_size == "auto" else model.batch_size
    if model.solver == "lbfgs" or batch >= rows:
        facts["weight_decay"] = model.alpha
    return Model(weights | biases, model.predict, facts)


def _of_linen(model: Any) -> Model:
    try:
        return Model(_arrays(model.variables), model)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("a linen module has no weights of its own; give model.bind(variables).") from None


def _of_torch(model: Any) -> Model:
    parameters = dict(model.named_parameters())
    buffers = [name for name, _ in model.named_buffers()]
    frozen = [name for name, one in parameters.items() if not one.requires_grad]
    if buffers or frozen:
        kind, name = ("a buffer", buffers[0]) if buffers else ("frozen", frozen[0])
        raise InputError(f"{name} of the model is {kind}, and all weights of a network here are trained; {ELSEWHERE}.")

    def predict(x: np.ndarray) -> Any:
        torch = sys.modules["torch"]  # it is there, or there were no such module
        one = next(iter(parameters.values()))
        with torch.no_grad():
            return model(torch.as_tensor(x, dtype=one.dtype, device=one.device))

    return Model(parameters, predict)


def _arrays(tree: Any) -> dict[str, Any]:
    """What weights by name hold, or the floating-point arrays of a module.

    Raises:
        InputError: There is none.
    """
    every = isinstance(tree, Mapping)
    found = {
        named(path).removesuffix(".value").replace("/", "."): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(dict(tree) if every else tree)
        if every or floating(leaf)
    }
    if not found:
        raise InputError(f"the model holds no floating-point arrays: {shortened(tree)}.")
    return found


def two_layers(arrays: Mapping[str, Any]) -> list[Params]:
    """The two-layer networks that these arrays may be: one, or two where shapes do not tell which layer comes first.

    Args:
        arrays: By name. A "weight" is [outputs, inputs], a "kernel" [inputs, outputs], and a "bias" belongs to the one
            that is called alike.

    Raises:
        InputError: They are those of another network.
    """
    layers: dict[str, np.ndarray] = {}
    biases: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        place, kind = re.fullmatch(r"(.*?)\.?([^.]*)", name).groups()  # pyright: ignore[reportOptionalMemberAccess]
        array = numbers(value, name)
        if kind in ("weight", "kernel") and array.ndim == 2:
            layers[place] = array if kind == "weight" else array.T
        elif kind == "bias" and array.ndim == 1:
            biases[place] = array
        else:
            raise InputError(
                f"{name} of shape {list(array.shape)} is no weight, kernel or bias of a layer; {ELSEWHERE}."
            )
    if len(layers) != 2 or not set(biases) <= set(layers):
        said = ", ".join(f"{name} {list(np.shape(plain(one)))}" for name, one in arrays.items())
        raise InputError(
            f"a two-layer network has two weights, each with a bias or without; found {said}; {ELSEWHERE}."
        )
    found = []
    for first, second in (tuple(layers), tuple(reversed(layers))):
        hidden, outer = layers[first], layers[second]
        one, two = biases.get(first), biases.get(second)
        fits = outer.shape == (1, len(hidden)) and (one is None or len(one) == len(hidden))
        if fits and (two is None or len(two) == 1):
            found.append(Params(hidden, outer[0], one, None if two is None else float(two[0])))
    if not found:
        shapes = " and ".join(f"{name} [outputs, inputs] = {list(one.shape)}" for name, one in layers.items())
        raise InputError(f"the two layers do not make a network with one output: {shapes}; {ELSEWHERE}.")
    return found


def outputs(network: Params, act: Activation, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a two-layer network predicts at x [n, d], and how far from that its prediction in float32 may be, [n]."""
    hidden, outer = np.asarray(network.hidden), np.asarray(network.outer)
    bias = 0.0 if network.hidden_bias is None else np.asarray(network.hidden_bias)
    last = network.outer_bias or 0.0
    with float64():
        f = np.asarray(act.s(jax.numpy.asarray(x @ hidden.T + bias))) @ outer + last
    size = act.reach(np.abs(x) @ np.abs(hidden).T + np.abs(bias))
    # Roundings are independent, and add up as their squares do: a bound of the worst case would let another activation
    # pass in wide networks. 8 of these standard errors, on 100 rows or more, leave out no network that is the same.
    spread = np.maximum(np.sqrt(size**2 @ outer**2), np.abs(f)) + abs(last)
    steps = np.sqrt(len(hidden)) + act.order * np.sqrt(hidden.shape[1]) + 8
    return f, 8 * steps * np.finfo(np.float32).eps * spread


def recognised(model: Model, x: np.ndarray, said: str | None, slope: float) -> tuple[Params, str]:
    """The two-layer network that a model is, and the name of its activation.

    Args:
        model: From `model_of`.
        x: Inputs, [n, d].
        said: The activation, None where the model's predictions are to say.
        slope: Of leaky_relu.

    Raises:
        InputError: The model is none, predicts something else, or does not say which.
    """
    networks = [one for one in two_layers(model.arrays) if np.shape(one.hidden)[1] == x.shape[1]]
    if not networks:
        raise InputError(f"the model's inputs are not the {x.shape[1]} columns of x.")
    if model.predict is None:
        if said is None:
            raise InputError(f"weights do not say their activation; give it: activation is {', '.join(ACTIVATIONS)}.")
        if len(networks) > 1:
            raise InputError(FIRST)
        return networks[0], said
    at = np.concatenate([x, *_probes(x)])
    predicted = _predicted(model.predict, at)
    tried = [(one, name) for one in networks for name in ((said,) if said else ACTIVATIONS)]
    found = []
    for one, name in tried:
        f, error = outputs(one, activation(name, slope), at)
        if np.all(np.abs(f - predicted) <= error):
            found.append((one, name))
    if not found:
        which = f"activation {said}" if said else f"one of {', '.join(ACTIVATIONS)}"
        raise InputError(f"the model does not predict what its two layers with {which} do; {ELSEWHERE}.")
    if len({name for _, name in found}) < len(found):
        raise InputError(FIRST)
    if len(found) > 1:
        raise InputError(f"the model may have activation {' or '.join(name for _, name in found)}; say which.")
    return found[0]


def _probes(x: np.ndarray) -> list[np.ndarray]:
    """Random inputs of the size of the data, and ten times as large."""
    size = float(np.sqrt(np.mean(x * x))) or 1.0
    drawn = size * np.random.default_rng(0).normal(size=(PROBES, x.shape[1]))
    return [drawn, 10 * drawn]


def _predicted(predict: Callable[[np.ndarray], Any], x: np.ndarray) -> np.ndarray:
    """A model's outputs at x, [n].

    Raises:
        InputError: It raises, or has several outputs a row.
    """
    try:
        with float64(), jax.default_matmul_precision("highest"):
            f = numbers(predict(x), "the model's output")
    except Exception as error:
        raise InputError(f"the model cannot predict at x: {type(error).__name__}: {error}.") from error
    if f.size != len(x):
        raise InputError(f"the model has outputs of shape {list(f.shape)} for {len(x)} rows; one a row is read.")
    return f.reshape(-1)
