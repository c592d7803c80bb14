"""The bench gives sane numbers and says what it cannot do; peers compute our formula; fits and counts are right."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import call, check_refused

import landscape as ls
from landscape.host.bench import asked, kernels, machine, measure, table, work

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # worker processes of the peers import them by name

import agreement  # noqa: E402
import convex  # noqa: E402
import growth  # noqa: E402
import peers  # noqa: E402

KERNELS = ("gradient", "loss", "hessian", "newton")
LIMIT = {
    "copy_gbytes": 10.0,
    "float64": {"matmul_gflops": 100.0, "elementwise_gflops": 50.0},
    "float32": {"matmul_gflops": 200.0, "elementwise_gflops": 100.0},
}


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_quick_bench_prints_one_json_object_with_sane_numbers(capsys, tmp_path):
    out = tmp_path / "bench.json"
    options = ("--sizes", 3, "--restarts", 8)
    assert call("bench", "--quick", "--json", "--out", out, *options) == 0
    result = json.loads(capsys.readouterr().out)  # one object and nothing else
    assert result == json.loads(out.read_text())
    assert [(cell["k"], cell["restarts"], cell["dtype"]) for cell in result["cells"]] == [(3, 8, "float64")]
    limits = result["limits"]
    # No machine that runs this is slower than 1980's or faster than a rack.
    for value in (limits["copy_gbytes"], *limits["float64"].values()):
        assert 0.01 < value < 1e6
    for cell in result["cells"]:
        for name in (*KERNELS, "descent"):
            one = cell[name]
            assert one["us"] > 0
            for fraction in ("of_matmul", "of_copy", "of_elementwise"):
                assert 0 < one[fraction] < 1.5, (name, fraction)  # above one only by noise or a cache
            assert one["of_limit"] == max(one["of_matmul"], one["of_copy"])
        assert sum(cell["census"]["labels"].values()) == cell["restarts"]
        assert cell["census"]["restarts_per_second"] > 0
        assert cell["gradient"]["compile_seconds"] > 0
        # The table is made of the same numbers.
        assert len(table.table_rows(cell)) == len(table.ROWS)
    assert result["environment"]["cores_used"] >= 1
    # An older result may be replaced, anything else may not.
    asked.Bench(out=str(out)).check()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sizes", "0"], "sizes must be a whole number of at least 1, found 0"),
        (["--sizes", "six"], "--sizes"),
        (["--restarts", "0"], "restarts must be a whole number of at least 1, found 0"),
        (["--dtype", "float16"], "dtype must be float32 or float64, found 'float16'"),
        (["--limit", "nan"], "limit must be a positive number of seconds, found nan"),
        (["--lanes", "-1"], "lanes must be"),
        (["--optimiser", "newton"], "optimiser 'newton' is unknown"),
        (["--bogus"], "--bogus"),
        (["--out", "no/such/folder/bench.json"], "there is no folder no/such/folder"),
        (["--out", __file__], "exists and is not the result of a bench"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(capsys, arguments, words):
    check_refused(capsys, words, "bench", *arguments)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="an accelerator has memory of its own")
def test_a_cell_without_memory_says_so_and_the_others_go_on(monkeypatch):
    problem = ls.orthonormal_teacher(3)
    monkeypatch.setattr(machine, "host_memory_left", lambda: 1.0)
    cell = measure.first_order(problem, 8, "float64", LIMIT, quick=True)
    assert cell["gradient"]["error"].startswith("out of memory")
    assert "out of memory" in "\n".join(
        table.table_rows({"k": 3, "dtype": "float64", **dict.fromkeys(table.ROWS, cell["gradient"])})
    )
    monkeypatch.undo()
    assert "error" not in measure.first_order(problem, 8, "float64", LIMIT, quick=True)["gradient"]


def test_a_census_without_memory_is_recorded_in_each_cell(monkeypatch):
    def explore(*arguments, **options):
        raise MemoryError("80 GB are needed")

    monkeypatch.setattr(measure, "explore", explore)
    done = list(measure.cells(asked.Bench(sizes=(2,), restarts=(4, 8), quick=True).check(), LIMIT))
    assert [cell["restarts"] for cell in done] == [4, 8]
    for cell in done:
        assert cell["census"]["error"] == cell["descent"]["error"] == "out of memory: 80 GB are needed"
        assert cell["gradient"]["us"] > 0
        assert len(table.table_rows(cell)) == len(table.ROWS)


def test_a_device_out_of_memory_is_recorded_and_any_other_failure_is_raised():
    def fail(message):
        def timed(*arguments, **options):
            raise jax.errors.JaxRuntimeError(message)

        return timed

    arguments = (4, work.gradient_work(2, 2, 2, "float64"), LIMIT, "float64", True)
    found = measure.kernel(fail("RESOURCE_EXHAUSTED: Out of memory allocating 80 bytes."), *arguments)
    assert found["error"].startswith("out of memory: RESOURCE_EXHAUSTED")
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        measure.kernel(fail("INTERNAL: broken"), *arguments)


@pytest.mark.parametrize("k", [3, 9], ids=["lanes last", "lanes first"])
def test_batched_gradients_are_those_of_each_point(k, monkeypatch):
    monkeypatch.setattr(kernels, "usable_cores", lambda: 2)
    problem = ls.orthonormal_teacher(k)
    # Not a whole number of blocks: the rest is padded.
    thetas = jnp.asarray(ls.start_points(problem, 0, np.arange(150)))
    gradient = kernels.BatchedGradient(problem, thetas)
    assert len(gradient.shares) == (2 if jax.default_backend() == "cpu" else 1)  # a share a core
    each = jax.jit(jax.vmap(problem.gradient))(thetas)
    np.testing.assert_allclose(gradient.rows(gradient()), each, rtol=0, atol=1e-13)  # sums in another order


def test_counted_work_is_what_the_compiler_counts_before_it_optimises():
    """Within a factor of two: the compiler counts each comparison and select too, and no square roots."""
    n = k = d = 24
    problem = ls.orthonormal_teacher(k)
    theta = ls.start_points(problem, 0, np.arange(4))

    def counted(function):
        with jax.default_device(jax.local_devices(backend="cpu")[0]):  # a GPU's compiler counts nothing then
            return jax.jit(jax.vmap(function)).lower(theta).cost_analysis()["flops"] / len(theta)

    gradient = work.gradient_work(n, k, d, "float64")
    assert 0.5 < counted(problem.gradient) / (gradient.matmul + gradient.elementwise) < 2.0
    assert work.newton_work(n, k, d, "float64").matmul > (n * d) ** 3 / 3


def test_fractions_name_what_binds():
    some = work.Work(matmul=60e9, elementwise=10e9, bytes=1e9)
    assert measure.fractions(some, 1.0, LIMIT, "float64")["binds"] == "matrix products"
    found = measure.fractions(some, 10.0, LIMIT, "float64")
    assert found["binds"] == "elementwise work"
    assert found["of_limit"] == pytest.approx(0.06)
    assert measure.fractions(some._replace(bytes=9e9), 1.0, LIMIT, "float64")["binds"] == "copy"


def test_a_newton_step_squares_the_distance_to_a_minimum():
    problem = ls.orthonormal_teacher(4)
    teacher = np.asarray(problem.teacher).reshape(-1)
    direction = np.random.default_rng(0).normal(size=problem.p)
    away = teacher + 1e-3 * direction / np.linalg.norm(direction)
    once = np.asarray(jax.jit(kernels.newton_step)(problem, jnp.asarray(away)))
    # c |distance|^2 with c, a third over a second derivative, of order 1 to 10.
    assert np.linalg.norm(once - teacher) < 2e-5


# -- peers -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[(3, 3), (4, 6)], ids=["k3n3", "k4n6"])
def point(request):
    """A teacher [k, 5], students [7, n, 5], and our gradients and losses."""
    k, n = request.param
    rng = np.random.default_rng(0)
    teacher, theta = rng.normal(size=(k, 5)), rng.normal(size=(7, n, 5))
    problem = ls.teacher_student(teacher, n)
    flat = jnp.asarray(theta.reshape(7, -1))
    gradients = np.asarray(jax.jit(jax.vmap(problem.gradient))(flat)).reshape(theta.shape)
    return teacher, theta, gradients, np.asarray(jax.jit(jax.vmap(problem.loss))(flat))


CLOSE = dict(
    rtol=0, atol=1e-12
)  # numbers of order one; arccos near one costs sqrt(eps) only where it is multiplied by 0


def test_numpy_gradients_are_ours(point):
    teacher, theta, gradients, losses = point
    np.testing.assert_allclose(peers.numpy_gradient(theta, teacher), gradients, **CLOSE)
    for one, gradient, loss in zip(theta, gradients, losses, strict=True):
        value, slope = peers.numpy_value_and_gradient(one.reshape(-1), teacher)
        np.testing.assert_allclose(slope, gradient.reshape(-1), **CLOSE)
        np.testing.assert_allclose(value, loss, **CLOSE)


def test_the_naive_jax_gradient_is_ours(point):
    teacher, theta, gradients, losses = point
    both = jax.vmap(jax.value_and_grad(lambda t: peers.jax_naive_loss(t, jnp.asarray(teacher))))
    values, slopes = jax.jit(both)(jnp.asarray(theta))
    np.testing.assert_allclose(slopes, gradients, **CLOSE)
    # A neuron with itself has cosine 1 - eps after clipping: nothing to the gradient, about eps to the loss.
    np.testing.assert_allclose(values, losses, **CLOSE)


def test_torch_gradients_are_ours(point):
    pytest.importorskip("torch", reason="PyTorch is in the extra `peers`")
    teacher, theta, gradients, _ = point
    found = peers.torch_gradient(*peers._torch_arguments(theta, teacher, "float64"))
    np.testing.assert_allclose(found.cpu().numpy(), gradients, **CLOSE)
    found = peers.torch_gradient_last(*peers._torch_arguments(theta, teacher, "float64", last=True))
    np.testing.assert_allclose(found.cpu().numpy().transpose(2, 0, 1), gradients, **CLOSE)


def test_single_peers_converge_and_workers_return_what_one_process_does():
    problem = ls.orthonormal_teacher(3)
    teacher, starts = np.asarray(problem.teacher), ls.start_points(problem, 0, np.arange(4))
    for name, reached in (("numpy-descent", peers.STOP), ("scipy-lbfgsb", 1e-6)):
        alone = [peers.SINGLE[name](start, teacher) for start in starts]
        assert max(norm for norm, _ in alone) <= reached
        workers = peers.Workers(name, starts, teacher)
        try:
            shared = workers.run()
        finally:
            workers.close()
        # Every second restart each: the order is that of the processes. One BLAS thread or two may round differently.
        assert len(shared["norms"]) == len(starts)
        assert shared["norms"].max() <= reached
        assert shared["gradients"] == pytest.approx(sum(count for _, count in alone), rel=0.05)


def test_a_while_loop_over_a_batch_reaches_its_stop():
    problem = ls.orthonormal_teacher(3)
    starts = ls.start_points(problem, 0, np.arange(4)).reshape(4, 3, 3)
    found = peers.jax_while_loop(starts, np.asarray(problem.teacher), problem)()
    assert found["norms"].max() <= peers.STOP


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optax", "LBFGS", "BFGS"])
def test_quasi_newton_peers_reach_small_gradients(name):
    problem = ls.orthonormal_teacher(3)
    starts = ls.start_points(problem, 0, np.arange(4))
    if name == "optax":
        found = peers.optax_lbfgs(starts, problem)()
    else:
        pytest.importorskip("optimistix", reason="optimistix is in the extra `peers`")
        found = peers.optimistix_run(starts, problem, name)()
    assert found["norms"].max() < 1e-6


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own code
def test_compiled_torch_descent_ends_where_numpy_does_with_or_without_dropping(tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is in the extra `peers`")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    problem = ls.orthonormal_teacher(3)
    starts, teacher = ls.start_points(problem, 0, np.arange(10)), np.asarray(problem.teacher)
    cube = starts.reshape(10, 3, 3)
    whole = peers.torch_descent(cube, teacher, drop=False)()
    dropping = peers.torch_descent(cube, teacher, drop=True)()
    slowest = sorted(peers.numpy_descent_one(start, teacher)[1] for start in starts)[8]  # the ninth of ten
    for found in (whole, dropping):
        assert np.sum(found["norms"] <= peers.STOP) >= 9
        assert slowest <= found["steps"] <= slowest + peers.LOOK
    assert dropping["gradients"] <= whole["gradients"]


def test_contenders_take_turns_and_drift_cancels_in_the_ratios():
    order, drift = [], iter(np.linspace(1.0, 3.0, 4))
    state = {"now": 0.0}

    def contender(name, cost):
        def run():
            if len(order) % 2 == 0:
                state["now"] = next(drift)
            order.append(name)
            return cost * state["now"]

        return run

    seconds = peers.alternate({"ours": contender("ours", 1.0), "other": contender("other", 2.5)}, 4)
    assert order == ["ours", "other", "other", "ours"] * 2
    found = peers.ratios(seconds, "ours")
    assert found["other"]["times_ours"] == pytest.approx(2.5)
    assert found["ours"]["times_ours"] == 1.0
    assert len(found["other"]["rounds"]) == 4


def test_a_sample_is_scaled_and_own_seconds_count(capsys):
    contenders = {
        "ours": lambda: {"own_seconds": 2.0, "norms": np.array([1e-11, 1e-11, 1e-9, np.nan])},
        "sampled": lambda: {"own_seconds": 1.0, "norms": np.array([1e-7])},
    }
    found = peers.race(contenders, "ours", 2, {"sampled": 4.0})
    assert found["sampled"]["times_ours"] == pytest.approx(2.0)
    assert found["sampled"]["measured_restarts"] == 1
    assert found["ours"]["shares"] == {"1e-06": 0.75, "1e-08": 0.75, "1e-10": 0.5}
    assert found["ours"]["grad_norm_90"] is None  # infinite: the one that failed


def test_results_are_drawn(tmp_path):
    bar = {"times_ours": 1.0, "us_per_restart": 1.0, "seconds": 1.0, "grad_norm_90": 1e-9, "grad_norm_median": 1e-9}
    slow = bar | {"times_ours": 7.5}
    contest = {"k": 6, "restarts": 10, "dtype": "float64", "skipped": {}}
    result = {
        "environment": {"processor": "a processor", "cores_used": 2},
        "gradient": [contest | {"contenders": {"landscape": bar, "torch-compile": slow}}] * 2,
        "descent": [contest | {"contenders": {"landscape-flow": bar, "torch-descent": slow}}],
        "lbfgs": [contest | {"contenders": {"landscape-lbfgs": bar, "scipy-lbfgsb": slow}}],
    }
    title, bars = peers.panels(result)[0]
    assert "k = n = 6" in title
    assert [times for _, times, _, _ in bars] == [7.5, 1.0]
    path = tmp_path / "peers.png"
    peers.draw(result, path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size < 300_000


# -- growth ------------------------------------------------------------------------------------------------------------


def test_the_growth_fit_recovers_a_known_exponent():
    sizes = np.array([6, 8, 12, 20, 30, 50])
    found = growth.fit_exponent(sizes, 3e-5 * sizes**3.7)
    assert found["exponent"] == pytest.approx(3.7, abs=1e-12)
    assert found["factor"] == pytest.approx(3e-5, rel=1e-10)
    assert found["high"] - found["low"] < 1e-10
    assert growth.local_exponents([1, 2, 4], [1.0, 8.0, 16.0]) == pytest.approx([3.0, 1.0])


def test_the_interval_of_the_exponent_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    sizes = np.array([6, 8, 12, 20, 30, 50])
    covered = 0
    for _ in range(1000):
        found = growth.fit_exponent(sizes, sizes**3.0 * np.exp(0.2 * rng.normal(size=len(sizes))))
        covered += found["low"] <= 3.0 <= found["high"]
    # 950 expected, standard deviation 7.
    assert 920 <= covered <= 980


def test_two_sizes_have_a_slope_without_an_interval_and_one_has_none():
    found = growth.fit_exponent([2, 4], [1.0, 4.0])
    assert found["exponent"] == pytest.approx(2.0)
    assert found["low"] is None
    with pytest.raises(ValueError, match="two different sizes"):
        growth.fit_exponent([3, 3], [1.0, 2.0])


def test_a_series_has_fewer_restarts_where_they_take_long_and_stops_where_few_would_take_too_long(monkeypatch):
    def own_process(k, width, restarts, optimiser):
        said = {"gradients_per_restart": 1.0, "peak_gbytes": 0.1, "labels": {}}
        return {"k": k, "width": width, "restarts": restarts, "seconds_per_restart": 1e-3 * k**2} | said

    monkeypatch.setattr(growth, "own_process", own_process)
    found = growth.series([(k, k) for k in (1, 2, 4, 8, 80)], "k", 1000, "flow", limit=20.0)
    # 1, 4 and 16 s; 64 ms a restart; and 6.4 s, of which 20 s would hold three.
    assert [(one["k"], one["restarts"]) for one in found["cells"]] == [(1, 1000), (2, 1000), (4, 1000), (8, 312)]
    assert found["left_out"][0]["k"] == 80
    assert found["fit"]["exponent"] == pytest.approx(2.0)


def test_a_cell_that_dies_is_a_result(monkeypatch):
    monkeypatch.setattr(growth.sys, "executable", "/bin/false")
    assert growth.own_process(3, 3, 4, "flow")["failed"].startswith("exit status 1")


# -- agreement ---------------------------------------------------------------------------------------------------------


def test_agreement_counts_labels_levels_and_the_unfinished():
    rows = lambda losses, labels: {  # noqa: E731
        "restart": np.arange(len(losses)),
        "loss": np.array(losses),
        "label": np.array(labels, object),
    }
    one = rows([0.0, 0.3, 0.3, 0.3, np.nan, 0.5], ["global", *["spurious"] * 3, "unconverged", "spurious"])
    other = rows(
        [1e-9, 0.3 + 5e-8, 0.3 + 2e-7, 0.3, 0.2, 0.1],
        ["global", "spurious", "spurious", "saddle", "spurious", "unconverged"],
    )
    found = agreement.agreement(one, other)
    assert (found["restarts"], found["unfinished"]) == (4, 2)
    assert found["agree"]["count"] == 2
    assert found["labels_differ"]["count"] == 1
    assert found["levels_differ"]["count"] == 1
    assert found["disagreeing"] == [2, 3]
    assert (found["agree"]["low"], found["agree"]["high"]) == ls.wilson(2, 4)
    # Only the same restarts are compared, whatever their order.
    turned = {name: column[::-1][:3] for name, column in other.items()}
    assert agreement.agreement(one, turned)["restarts"] == 1
    assert agreement.agreement(one, one)["agree"]["share"] == 1.0


def test_every_named_method_has_settings_and_smaller_steps_a_larger_budget():
    found = agreement.methods(list(agreement.NAMES))
    assert found["step-0.01"]["budget"] == 10 * found["step-0.1"]["budget"]
    assert found["step-0.1-float32"] == found["step-0.1"] | {"dtype": "float32"}


# -- convex programs ---------------------------------------------------------------------------------------------------


def test_the_program_on_sampled_patterns_is_that_of_a_modelling_tool(capsys):
    record = convex.measure(30, 4, [5])
    one = record["sampled"][0]
    assert one["lower_bound"] <= record["all"]["value"] <= one["value"] * (1 + 1e-12)
    assert record["all"]["lower_bound"] <= record["all"]["value"]
    assert one["difference"] is None or one["difference"] < 1e-6  # what a general solver leaves; None without cvxpy
    assert "all cells: between" in capsys.readouterr().out
