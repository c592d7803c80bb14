"""What several tests use: slow, independent implementations (60-digit arithmetic, finite differences), `judged`, and
the command line called from Python."""

import jax
import mpmath as mp
import numpy as np
import pytest
from PIL import Image

from landscape import cli
from landscape.classify import classify
from landscape.polish import Polished, evaluate, polish
from landscape.problems.activation import activation
from landscape.records import Point, Status
from landscape.spectrum import spectrum
from landscape.theory.nearby import losses

mp.mp.dps = 60

# Every activation, the leaky one at a slope inside (0, 1), one outside and one that makes it nearly even.
ALL = tuple(
    activation(name, slope)
    for name, slope in (
        ("relu", 0),
        ("leaky_relu", 0.1),
        ("leaky_relu", -2.5),
        ("abs", 0),
        ("linear", 0),
        ("quadratic", 0),
        ("erf", 0),
        ("gelu", 0),
    )
)
HOMOGENEOUS = tuple(a for a in ALL if a.homogeneous)


def pointwise(act, z):
    """s(z) in NumPy."""
    from scipy.special import erf, expit, ndtr

    return {
        "relu": lambda: np.maximum(z, 0),
        "leaky_relu": lambda: np.where(z > 0, z, act.slope * z),
        "abs": lambda: np.abs(z),
        "linear": lambda: z,
        "quadratic": lambda: z * z,
        "erf": lambda: erf(z),
        "gelu": lambda: z * ndtr(z),
        "tanh": lambda: np.tanh(z),
        "softplus": lambda: np.logaddexp(0, z),
        "sigmoid": lambda: expit(z),
    }[act.name]()


def exact(x):
    """The floats of an array as exact 60-digit numbers."""
    return [exact(row) for row in x] if np.ndim(x) else mp.mpf(float(x))


def moment(act, u, v):
    """E s(u.x) s(v.x), 60 digits: the table of theory/gaussian.md, section 6. u and v are lists of mpf."""
    a, b, c = (mp.fsum(x * y for x, y in zip(p, q, strict=True)) for p, q in ((u, u), (v, v), (u, v)))
    if act.name == "linear":
        return c
    if act.name == "quadratic":
        return a * b + 2 * c * c
    if act.name == "erf":
        return 2 / mp.pi * mp.asin(2 * c / mp.sqrt((1 + 2 * a) * (1 + 2 * b)))
    if act.name == "gelu":
        top, bottom = a * b - c * c + c * c / (1 + a) + c * c / (1 + b), mp.sqrt((1 + a) * (1 + b) - c * c)
        return c / 4 + (c * mp.asin(c / mp.sqrt((1 + a) * (1 + b))) + top / bottom) / (2 * mp.pi)
    size = mp.sqrt(a * b)
    if size == 0:
        return mp.mpf(0)
    cos = max(min(c / size, mp.mpf(1)), mp.mpf(-1))
    t = mp.acos(cos)
    relu = size * (mp.sin(t) + (mp.pi - t) * cos) / (2 * mp.pi)
    slope = {"relu": mp.mpf(0), "leaky_relu": mp.mpf(act.slope), "abs": mp.mpf(-1)}[act.name]
    # s = (1 - l) relu + l z, and E relu(u.x) v.x = u.v / 2.
    return (1 - slope) ** 2 * relu + slope * c


def loss(act, student, teacher, outer=None, teacher_outer=None):
    """F, 60 digits, of exact rows and outer weights, ones where there are none."""
    rows = [*student, *teacher]
    sign = [*(outer or [1] * len(student)), *(-b for b in teacher_outer or [1] * len(teacher))]
    pairs = ((i, j) for i in range(len(rows)) for j in range(i + 1))
    return mp.fsum((1 if i == j else 2) * sign[i] * sign[j] * moment(act, rows[i], rows[j]) for i, j in pairs) / 2


# At 60 digits a step of 1e-18 leaves a truncation error of 1e-18 times the third derivative (the Hessian of a
# homogeneous activation is only Lipschitz) and a rounding error of 1e-60 / 1e-36: eight digits below float64.
STEP = mp.mpf(10) ** -18


def _moved(x, i, step):
    y = list(x)
    y[i] += step
    return y


def gradient(f, x):
    """Of f at a list of mpf, by central differences."""
    return np.array([float((f(_moved(x, i, STEP)) - f(_moved(x, i, -STEP))) / (2 * STEP)) for i in range(len(x))])


def hessian(f, x):
    """Of f at a list of mpf, by forward differences: at a step of 1e-18 their error is still that small."""
    p, h = len(x), STEP
    out = np.zeros((p, p))
    middle, ahead = f(x), [f(_moved(x, i, h)) for i in range(p)]
    for i in range(p):
        for j in range(i + 1):
            corner = f(_moved(_moved(x, i, h), j, h))
            out[i, j] = out[j, i] = float((corner - ahead[i] - ahead[j] + middle) / h**2)
    return out


def central_differences(f, x, h):
    """Jacobian of f: [p] -> [...] in float64, the derivative on the last axis."""
    columns = [(np.asarray(f(x + h * e)) - np.asarray(f(x - h * e))) / (2 * h) for e in np.eye(len(x))]
    return np.stack(columns, axis=-1)


def judged(problem, theta, status=Status.CONVERGED):
    """(point, spectrum, verdict) at theta as it is."""
    theta = np.asarray(theta, float).reshape(-1)
    gradient, hessian = evaluate(problem, theta)
    point = Point(
        theta=theta,
        loss=float(losses(problem, theta[None])[0]),
        loss_error=problem.loss_error(theta),
        grad_norm=float(np.linalg.norm(gradient)),
        moved=0.0,
        status=status,
    )
    found = spectrum(problem, theta, hessian)
    return point, found, classify(problem, point, lambda: found)


def polished(problem, theta, *arguments) -> Polished:
    """One point polished."""
    many = polish(problem, np.asarray(theta)[None], *arguments)
    return Polished(*(column[0] for column in many))


def compiled(problems):
    """Number of parameters of each of these problems for which a jitted loss was compiled, in order."""
    sizes = []

    @jax.jit
    def loss(problem, theta):
        sizes.append(problem.p)
        return problem.loss(theta)

    for problem in problems:
        loss(problem, np.zeros(problem.p))
    return sizes


def call(*arguments):
    """Exit status of the command `landscape` with these arguments."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    return stop.value.code


def check_drawn(capsys, folder):
    """The command `plot` names the figures of a run, and none of them is an empty page."""
    assert call("plot", folder) == 0
    paths = capsys.readouterr().out.split()
    assert paths
    for path in paths:
        with Image.open(path) as image:
            assert min(image.size) > 200
            assert len(set(image.convert("L").tobytes())) > 10  # more than an empty page


def check_refused(capsys, words, *arguments):
    """The command ends with status 2, prints nothing, and says these words in one sentence on standard error."""
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert words in said.err
    assert "Traceback" not in said.err
