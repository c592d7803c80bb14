"""Programs restricted to some cells: their optimality conditions, published optima, where they start."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from finite_data import BIASES, A, R, data_of, random_data, signed_cells

from landscape.problems.datafit import Data, minus_gradient
from landscape.records import InputError
from landscape.theory.arrangement.cells import sampled_cells
from landscape.theory.convex import active_set
from landscape.theory.convex.restricted_programs import restricted


@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("grid", [False, True])
def test_restricted_optimum_satisfies_its_optimality_conditions(loss, outer_bias, grid):
    """Checked without the code's own projections: in the plane a cone's maximiser is a wall or the gradient itself."""
    for seed in range(3):
        data = random_data(seed, 7, 2, 0.1, loss, outer_bias, grid)
        patterns, signs = signed_cells(data)
        some = np.random.default_rng(seed).integers(0, len(signs), 5)  # with repetitions and neighbours
        patterns, signs = patterns[some], signs[some]
        found = restricted(data, patterns, signs)
        assert found.residual < 1e-12
        f = np.einsum("q,qn,nd,qd->n", signs, patterns, data.x, found.blocks) + found.b0
        nu = minus_gradient(data, f)
        np.testing.assert_allclose(found.output, f, atol=1e-13)  # sums of seven numbers of size one
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        walls = np.vstack([data.x @ quarter, -data.x @ quarter])
        for s, p, u in zip(signs, patterns, found.blocks, strict=True):
            side = np.where(p, 1.0, -1.0)[:, None] * data.x
            assert (side @ u >= -1e-13).all()  # in its cone
            g = s * data.x.T @ (p * nu)
            candidates = np.vstack([walls, g, np.zeros(2)])
            inside = (candidates @ side.T >= -1e-12).all(1)
            norms = np.maximum(np.linalg.norm(candidates, axis=1), 1e-300)
            # Half of the 14 digits that the gap has, for blocks on the edge of dying.
            assert max(candidates[inside] @ g / norms[inside]) <= data.weight_decay * (1 + 1e-9)
            np.testing.assert_allclose(g @ u, data.weight_decay * np.linalg.norm(u), atol=1e-11)
        if outer_bias != "none":
            np.testing.assert_allclose(
                nu.sum(), data.weight_decay * found.b0 if outer_bias == "regularised" else 0.0, atol=1e-10
            )


def test_all_cells_together_give_the_published_optimum():
    for record in (A, R):
        data = data_of(record)
        found = restricted(data, *signed_cells(data))
        np.testing.assert_allclose(found.value, record["p_star"], rtol=0, atol=1e-12)  # printed to 1e-16
        assert found.residual < 1e-13


def test_widths_one_and_two_of_fixture_a_by_enumeration():
    """P_m is the least over multisets of m signed cells; the table has ten digits."""
    data = data_of(A)
    patterns, signs = signed_cells(data)
    for m in (1, 2):
        sets = combinations_with_replacement(range(len(signs)), m)
        least = min(restricted(data, patterns[list(c)], signs[list(c)]).value for c in sets)
        np.testing.assert_allclose(least, A["P_m"][str(m)], rtol=0, atol=1e-9)


def test_interior_point_alone_is_good_to_nine_digits():
    data = data_of(A)
    cells = signed_cells(data)
    np.testing.assert_allclose(restricted(data, *cells, polish=False).value, A["p_star"], atol=1e-8)


def test_a_polish_that_leaves_the_cones_is_rejected(monkeypatch):
    """Without walls Newton's method ends below p*: a false optimum."""
    data = data_of(A)
    cells = signed_cells(data)

    def unconstrained(data, cells, u, b0, alive, tied):
        return newton(data, cells._replace(walls=cells.walls[:, :0]), u, b0, alive, [t[:0] for t in tied])

    newton = active_set.newton
    monkeypatch.setattr(active_set, "newton", unconstrained)
    found = restricted(data, *cells)
    np.testing.assert_allclose(found.value, A["p_star"], atol=1e-8)


def test_no_cells_leave_the_outer_bias():
    data = random_data(0, 6, 2, outer_bias="free")
    found = restricted(data, np.zeros((0, 6), bool), np.zeros(0))
    np.testing.assert_allclose(found.b0, data.y.mean(), atol=1e-14)


def test_patterns_and_signs_must_match():
    with pytest.raises(InputError, match="one sign for each pattern"):
        restricted(random_data(0, 6, 2), np.zeros((2, 6), bool), np.ones(3))


def test_a_program_that_no_neuron_pays_for_has_no_dust():
    data = Data(np.ones((6, 2)), np.array([-1.0, 1, 1, -1, -1, -1]), 1e-4, "logistic", "regularised")
    patterns, signs = signed_cells(data)
    blocks = restricted(data, patterns, signs).blocks
    size = np.linalg.norm(blocks, axis=1)
    assert np.all((size == 0) | (size > 1e-3))


def test_programs_from_a_start_end_where_those_without_end():
    data = random_data(5, 40, 5, 0.5)
    some = sampled_cells(data.x, 30, seed=1).patterns
    signs = np.where(np.arange(len(some)) % 2, 1.0, -1.0)
    plain = restricted(data, some, signs)
    started = restricted(data, some, signs, start=np.zeros((0, 5)))
    assert started.residual <= 1e-12
    assert started.value == pytest.approx(plain.value, rel=1e-12)
