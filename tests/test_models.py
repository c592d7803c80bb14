"""Models of other libraries as they are: the network is the library's own, and its label that of the same numbers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import call, check_refused

import landscape as ls
from landscape.problems.activation import activation
from landscape.problems.models import outputs

FIXTURE = json.loads((Path(__file__).parent / "fixtures" / "relu_A_n8_d2.json").read_text())
X, Y = np.array(FIXTURE["X"]), np.array(FIXTURE["y"])
HIDDEN, OUTER = np.array(FIXTURE["W_star"]), np.array(FIXTURE["a_star"])
BEST = {"fc1.weight": HIDDEN, "fc2.weight": OUTER[None]}  # a global minimum at weight decay 0.1
RNG = np.random.default_rng(0)
BIASED = {
    "fc1.weight": RNG.normal(size=(3, 2)).astype(np.float32),
    "fc1.bias": RNG.normal(size=3).astype(np.float32),
    "fc2.weight": RNG.normal(size=(1, 3)).astype(np.float32),
    "fc2.bias": RNG.normal(size=1).astype(np.float32),
}
TRAINED = {"weight_decay": 0.05, "reduction": "mean", "bias": "regularised"}


class Torch(SimpleNamespace):
    """What a PyTorch tensor offers and NumPy cannot read as it is."""

    def detach(self):
        return self

    def cpu(self):
        return self

    def is_floating_point(self):
        return True

    def double(self):
        return self

    def numpy(self):
        return self.held.astype(np.float64)


def of(named, rectified=True):
    """The predictions of a two-layer network by the names of PyTorch, written out."""
    w = {name: jnp.asarray(one) for name, one in named.items()}

    def predict(row):
        z = w["fc1.weight"] @ row + w.get("fc1.bias", 0.0)
        return w["fc2.weight"] @ (jnp.maximum(z, 0) if rectified else jax.nn.silu(z)) + w.get("fc2.bias", 0.0)

    return predict


@jax.tree_util.register_pytree_with_keys_class
class Module:
    """A module as Equinox has them: a pytree that can be called."""

    def __init__(self, named, predict=None):
        self.named, self.predict = named, predict

    def tree_flatten_with_keys(self):
        return [(jax.tree_util.GetAttrKey(name), one) for name, one in self.named.items()], self.predict

    @classmethod
    def tree_unflatten(cls, predict, leaves):
        return cls(dict(enumerate(leaves)), predict)

    def __call__(self, row):
        return (self.predict or of(self.named))(row)


def check_same(model, x, y, predicted, network, **given):
    """The converted network predicts what the model does, and its label is that of the same numbers given directly.

    Args:
        model: Of a library.
        x: Inputs.
        y: Targets.
        predicted: The library's own predictions, [n].
        network: The weights, read by hand.
        **given: To `from_model`.
    """
    problem, params = ls.from_model(model, x, y, **given)
    for one, other in zip(params, network, strict=True):
        np.testing.assert_array_equal(one, other)
    f, error = outputs(params, problem.activation, np.asarray(x, np.float64))
    assert np.all(np.abs(f - np.ravel(predicted)) <= error)
    assert np.all(error < 1e-4)  # in float32, of sums of some ten numbers of size one
    direct = ls.empirical(
        x, y, len(network.hidden), problem.activation.name, problem.fit.name, float(problem.weight_decay),
        problem.bias, problem.outer_bias,
    )  # fmt: skip
    one, other = ls.label(problem, params), ls.label(direct, network)
    assert one.as_dict() == other.as_dict()
    return problem, one


def params_of(named):
    w = {name: np.asarray(one, np.float64) for name, one in named.items()}
    last = float(w["fc2.bias"][0]) if "fc2.bias" in w else None
    return ls.Params(w["fc1.weight"], w["fc2.weight"][0], w.get("fc1.bias"), last)


# -- by names ----------------------------------------------------------------------------------------------------------


def test_a_state_dict_gets_the_label_of_its_numbers():
    said = {"activation": "relu", "weight_decay": 0.1, "reduction": "sum_half"}
    _, verdict = check_same(BEST, X, Y, np.maximum(X @ HIDDEN.T, 0) @ OUTER, params_of(BEST), **said)
    assert verdict.label == "global"
    shuffled = dict(reversed(BEST.items()))  # safetensors sort by size: shapes tell which layer comes first
    assert ls.label(*ls.from_model(shuffled, X, Y[:, None], **said)).label == "global"
    tensors = {name: Torch(held=one) for name, one in BEST.items()}
    assert ls.label(*ls.from_model(tensors, X, Y, **said)).label == "global"
    kernels = {"params": {"Dense_0": {"kernel": HIDDEN.T}, "Dense_1": {"kernel": OUTER[:, None]}}}
    assert ls.label(*ls.from_model(kernels, X, Y, **said)).label == "global"


def test_the_mean_and_its_weight_decay_are_those_of_the_framework():
    problem, params = ls.from_model(BIASED, X, Y, activation="relu", **TRAINED)
    f = np.asarray([of(BIASED)(row)[0] for row in X])
    square = sum(float(np.sum(one.astype(np.float64) ** 2)) for one in BIASED.values())
    n = len(Y)  # the problem is n / 2 times what the framework adds up
    loss = n / 2 * (np.mean((f - Y) ** 2) + 0.05 / 2 * square)
    assert float(ls.label(problem, params).loss) == pytest.approx(loss, rel=1e-6)  # f is in float32


# -- by predictions ----------------------------------------------------------------------------------------------------


def test_a_module_says_its_activation_by_what_it_predicts():
    predicted = [of(BIASED)(row)[0] for row in X]
    problem, _ = check_same(Module(BIASED), X, Y, predicted, params_of(BIASED), **TRAINED)
    assert problem.activation.name == "relu"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (Module(BIASED, of(BIASED, rectified=False)), "does not predict"),
        (Module(BIASED, lambda row: of(BIASED)(row) + row[:1]), "does not predict"),  # a way around the layers
        (Module(BIASED, lambda row: of(BIASED)(row) * (1 + 1e-3 * jnp.abs(row[0]))), "does not predict"),
        (Module(BIASED, lambda row: jnp.ones(2)), "one a row"),
        (Module(BIASED, lambda row: 1 / 0), "ZeroDivisionError"),
        (Module(BIASED | {"fc2.weight": np.zeros((1, 3))}), "may have activation relu or"),
        (Module(BIASED | {"fc3.weight": np.zeros((1, 3))}), "two weights"),
        (Module({name: one for name, one in BIASED.items() if name != "fc1.weight"}), "two weights"),
        (Module(BIASED | {"fc2.weight": np.zeros((2, 3)), "fc2.bias": np.zeros(2)}), "one output"),
        (Module(BIASED | {"scale": np.float32(1.0)}), "scale of shape []"),
        (Module(BIASED | {"norm.weight": np.ones(3)}), "norm.weight of shape [3]"),
        (Module({"fc1.weight": np.ones((3, 5)), "fc2.weight": np.ones((1, 3))}), "not the 2 columns of x"),
        (BIASED, "weights do not say their activation"),
        ({}, "no floating-point arrays"),
        ({"fc1.weight": "words", "fc2.weight": [[1.0]]}, "fc1.weight must be an array of numbers"),
        (lambda row: row, "no floating-point arrays"),
        (3, "found 3"),
    ],
)
def test_another_network_is_refused_in_one_sentence(model, words):
    with pytest.raises(ls.InputError, match=words.replace("[", r"\[").replace("]", r"\]")):
        ls.from_model(model, X, Y, **TRAINED)


def test_a_wide_network_with_nearly_the_activation_is_refused():
    """A slope of 0.001 on the negative side moves the sum of 1000 neurons by more than rounding does."""
    rng = np.random.default_rng(1)
    wide = {"fc1.weight": rng.normal(size=(1000, 2)), "fc2.weight": rng.normal(size=(1, 1000))}
    wide = {name: one.astype(np.float32) for name, one in wide.items()}

    def leaky(row):
        z = wide["fc1.weight"] @ row
        return wide["fc2.weight"] @ jnp.where(z > 0, z, 0.001 * z)

    assert ls.from_model(Module(wide), X, Y, weight_decay=0)[0].activation.name == "relu"
    with pytest.raises(ls.InputError, match="does not predict"):
        ls.from_model(Module(wide, leaky), X, Y, weight_decay=0)
    problem, _ = ls.from_model(Module(wide, leaky), X, Y, weight_decay=0, activation="leaky_relu", slope=0.001)
    assert problem.activation.slope == 0.001


@pytest.mark.parametrize("width", [1, 30, 1000])
@pytest.mark.parametrize("d", [1, 50])
def test_rounding_in_float32_is_within_what_is_allowed(width, d):
    """Of the bound at most a third is used, over many rows, in the order of a plain matrix product."""
    rng = np.random.default_rng(width + d)
    hidden, outer = rng.normal(size=(width, d)).astype(np.float32), rng.normal(size=width).astype(np.float32)
    x = rng.normal(size=(500, d)) * np.geomspace(1e-3, 1e3, 500)[:, None]
    for name in ("relu", "tanh", "gelu"):
        act = activation(name)
        f, error = outputs(ls.Params(hidden, outer), act, x)
        rounded = np.asarray(act.s(jnp.asarray(x.astype(np.float32) @ hidden.T))).astype(np.float32) @ outer
        assert np.max(np.abs(f - rounded) / error) < 1 / 3


@pytest.mark.parametrize(
    ("left", "words"),
    [("weight_decay", "weight_decay"), ("reduction", "mean, sum or sum_half"), ("bias", "regularised .* or free")],
)
def test_what_a_model_does_not_say_is_asked_for(left, words):
    with pytest.raises(ls.InputError, match=words):
        ls.from_model(Module(BIASED), X, Y, **{name: one for name, one in TRAINED.items() if name != left})
    without, _ = ls.from_model(Module(BIASED), X, Y, weight_decay=0)  # then neither matters
    assert float(without.weight_decay) == 0


def test_the_activation_that_is_said_is_compared_too():
    with pytest.raises(ls.InputError, match="with activation tanh"):
        ls.from_model(Module(BIASED), X, Y, activation="tanh", **TRAINED)


# -- files -------------------------------------------------------------------------------------------------------------


def safetensors(path, named):
    """A file as the format is described."""
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, one in named.items():
        kind = {"float64": "F64", "float32": "F32"}[str(one.dtype)]
        header[name] = {"dtype": kind, "shape": one.shape, "data_offsets": [len(body), len(body) + one.nbytes]}
        body += one.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    return path


def test_one_command_labels_weights_in_a_file(tmp_path, capsys):
    model = safetensors(tmp_path / "model.safetensors", BEST)
    np.savez(tmp_path / "data.npz", x=X, y=Y[:, None])
    said = ["--weight-decay", 0.1, "--reduction", "sum_half", "--activation", "relu"]
    assert call("label", model, "--data", tmp_path / "data.npz", *said) == 0
    text = capsys.readouterr().out
    assert "network: 2 inputs, 4 neurons, relu; hidden biases none, outer bias none; 8 rows" in text
    assert "point 0: global" in text
    np.savez(tmp_path / "facts.npz", x=X, y=Y, weight_decay=0.1, reduction="sum_half", activation="relu")
    assert call("label", model, "--data", tmp_path / "facts.npz", "--json") == 0
    (by_name,) = json.loads(capsys.readouterr().out)
    direct = {"x": X.tolist(), "y": Y.tolist(), "weight_decay": 0.1, "hidden": HIDDEN.tolist(), "outer": OUTER.tolist()}
    (tmp_path / "direct.json").write_text(json.dumps(direct))
    assert call("label", tmp_path / "direct.json", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [by_name]


def test_a_bad_model_file_is_one_sentence(tmp_path, capsys):
    np.savez(tmp_path / "data.npz", x=X, y=Y)
    data = ["--data", tmp_path / "data.npz"]
    good = safetensors(tmp_path / "model.safetensors", BEST)
    check_refused(capsys, "--data FILE", "label", good)
    check_refused(capsys, "is for a model", "label", good, "--weight-decay", 0.1)
    check_refused(capsys, "weight_decay must be a", "label", good, *data, "--weight-decay", "much")
    check_refused(capsys, "do not say their activation", "label", good, *data)
    check_refused(capsys, "does not say its weight_decay", "label", good, *data, "--activation", "relu")
    whole = good.read_bytes()
    for name, content in {"empty": b"", "cut": whole[:-8], "head": whole[:20], "long": b"\xff" * 8 + whole[8:]}.items():
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        check_refused(capsys, "safetensors", "label", tmp_path / f"{name}.safetensors", *data)
    np.savez(tmp_path / "both.npz", x=X, y=Y, outer=OUTER)
    check_refused(capsys, "so has the model", "label", good, "--data", tmp_path / "both.npz")


# -- the libraries themselves ------------------------------------------------------------------------------------------


def test_a_network_of_pytorch(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 1))
    named = {
        "fc1.weight": model[0].weight,
        "fc1.bias": model[0].bias,
        "fc2.weight": model[2].weight,
        "fc2.bias": model[2].bias,
    }
    network = params_of({name: one.detach().numpy() for name, one in named.items()})
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y, dtype=torch.float32)[:, None]
    x64, y64 = x.double().numpy(), y.double().numpy()
    problem, verdict = check_same(model, x64, y64, model(x).detach().numpy(), network, **TRAINED)
    assert problem.activation.name == "relu"
    loss = torch.nn.MSELoss()(model(x), y) + 0.05 / 2 * sum(torch.sum(one**2) for one in model.parameters())
    assert verdict.loss == pytest.approx(len(Y) / 2 * float(loss.detach()), rel=1e-6)
    torch.save(model.state_dict(), tmp_path / "model.pt")
    torch.save({"x": x, "y": y}, tmp_path / "data.pt")
    said = ["--weight-decay", 0.05, "--reduction", "mean", "--bias", "regularised", "--activation", "relu", "--json"]
    assert call("label", tmp_path / "model.pt", "--data", tmp_path / "data.pt", *said) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps([verdict.as_dict()]))
    torch.save(model, tmp_path / "whole.pt")
    check_refused(capsys, "state_dict()", "label", tmp_path / "whole.pt", "--data", tmp_path / "data.pt")
    normal = torch.nn.Sequential(model[0], torch.nn.BatchNorm1d(3), model[1], model[2])
    with pytest.raises(ls.InputError, match="is a buffer"):
        ls.from_model(normal, X, Y, **TRAINED)
    model[0].bias.requires_grad_(False)
    with pytest.raises(ls.InputError, match=r"0\.bias of the model is frozen"):
        ls.from_model(model, X, Y, **TRAINED)


def test_pytorchs_own_safetensors_are_read(tmp_path):
    torch, library = pytest.importorskip("torch"), pytest.importorskip("safetensors.torch")
    from landscape.host.tensors import tensors

    wrote = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([0.5], dtype=torch.bfloat16), "c": torch.tensor(7)}
    library.save_file(wrote, tmp_path / "some.safetensors")
    for name, one in tensors(tmp_path / "some.safetensors").items():
        np.testing.assert_array_equal(one.astype(np.float64), wrote[name].double().numpy())


def test_safetensors_of_the_library_are_read(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    from landscape.host.tensors import tensors

    library.save_file(BIASED, tmp_path / "some.safetensors")
    found = tensors(tmp_path / "some.safetensors")
    assert set(found) == set(BIASED)
    for name, one in found.items():
        np.testing.assert_array_equal(one, BIASED[name])


def test_a_network_of_scikit_learn():
    network = pytest.importorskip("sklearn.neural_network")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        full = {"alpha": 0.05, "solver": "lbfgs", "max_iter": 20, "random_state": 0}
        model = network.MLPRegressor(hidden_layer_sizes=(3,), **full).fit(X, Y)
        small = network.MLPRegressor(hidden_layer_sizes=(3,), batch_size=4, max_iter=2, random_state=0).fit(X, Y)
        deep = network.MLPRegressor(hidden_layer_sizes=(3, 3), **full).fit(X, Y)
    weights = ls.Params(model.coefs_[0].T, model.coefs_[1][:, 0], model.intercepts_[0], float(model.intercepts_[1][0]))
    problem, verdict = check_same(model, X, Y, model.predict(X), weights)
    assert (problem.activation.name, problem.bias, problem.outer_bias) == ("relu", "free", "free")
    # scikit-learn's loss is the mean of r^2 / 2 and alpha / (2 n) |W|^2: ours by n.
    assert verdict.loss == pytest.approx(len(Y) * model.loss_, rel=1e-9)
    with pytest.raises(ls.InputError, match="not trained on all rows at once"):
        ls.from_model(small, X, Y)
    with pytest.raises(ls.InputError, match="two weights"):
        ls.from_model(deep, X, Y)


def test_a_network_of_equinox():
    eqx = pytest.importorskip("equinox")
    for out in (1, "scalar"):
        model = eqx.nn.MLP(2, out, 3, 1, key=jax.random.key(0))
        one, two = model.layers
        weights = ls.Params(
            *(np.asarray(part, np.float64) for part in (one.weight, two.weight[0], one.bias)), float(two.bias[0])
        )
        check_same(model, X, Y, jax.vmap(model)(X), weights, **TRAINED)
    model = eqx.nn.MLP(2, 1, 3, 1, jax.nn.silu, key=jax.random.key(0))
    with pytest.raises(ls.InputError, match="does not predict"):
        ls.from_model(model, X, Y, **TRAINED)


def test_a_network_of_flax():
    linen, nnx = pytest.importorskip("flax.linen"), pytest.importorskip("flax.nnx")
    model = linen.Sequential([linen.Dense(3), linen.tanh, linen.Dense(1)])
    variables = model.init(jax.random.key(0), X)
    one, two = variables["params"]["layers_0"], variables["params"]["layers_2"]
    weights = ls.Params(
        *(np.asarray(part, np.float64) for part in (one["kernel"].T, two["kernel"][:, 0], one["bias"])),
        float(two["bias"][0]),
    )
    predicted = model.apply(variables, X)
    for given, more in ((model.bind(variables), {}), (variables, {"activation": "tanh"})):
        problem, _ = check_same(given, X, Y, predicted, weights, **TRAINED, **more)
        assert problem.activation == activation("tanh")
    with pytest.raises(ls.InputError, match=r"model\.bind"):
        ls.from_model(model, X, Y, **TRAINED)

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first, self.second = nnx.Linear(2, 3, rngs=rngs), nnx.Linear(3, 1, rngs=rngs)

        def __call__(self, x):
            return self.second(nnx.relu(self.first(x)))

    network = Network(nnx.Rngs(0))
    parts = (network.first.kernel[...].T, network.second.kernel[...][:, 0], network.first.bias[...])
    weights = ls.Params(*(np.asarray(part, np.float64) for part in parts), float(network.second.bias[...][0]))
    check_same(network, X, Y, network(X), weights, **TRAINED)
