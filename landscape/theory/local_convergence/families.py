"""Families of symmetric spurious minima of an orthonormal teacher as its size k grows, for real k.

With k students, k teachers e_1, ..., e_k and ReLU, the loss depends on a matrix W [k, k]. Of the matrices that do not
change when the last k - p indices are permuted, and the first p too, the least ones are known minima:

    p|k-p   p neurons near -e_i, the others near e_i (II: p = 1),
    A       every neuron near -e_i (p = 0),
    I       one neuron near e_1, the others near -e_i (p = 1).

The reduced loss is a formula in k and p, so a branch goes on to every real k, and so do the second derivatives that
break the symmetry: they are those of the reduced loss with a few indices singled out. A minimum is born where one of
them changes sign.

Sources: Arjevani and Field 2020, 2021, 2022 (arXiv 2008.01805, 2107.10370, 2210.06088), whose names A, I and II are
given here by shape; Safran and Shamir 2017 found the minima.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

from landscape.precision import float64
from landscape.problems.problem import QUICK
from landscape.records import InputError, whole
from landscape.theory.local_convergence.reduced import class_loss

NAMES = {"A": 0, "I": 1, "II": 1}  # p of the named families
FIRST = 50.0  # where a branch is entered: the leading terms in 1 / k are within Newton's reach from there up
STEP = 0.97  # ratio of k from one member of a branch to the next
MOST = 1e5  # rounding of the loss, eps k, is 1e-6 of a type II loss there


class Member(NamedTuple):
    """A member of a family.

    Attributes:
        family: A, I, II, or p of p|k-p as text.
        k: Size of teacher and student, a real number.
        sizes: Of the blocks of indices, (k,) or (p, k - p).
        own: Diagonal entry of each block, [blocks].
        rest: Off-diagonal entries of row block and column block, [blocks, blocks].
        loss: F, accurate to a few eps k.
        index: Number of negative eigenvalues on matrices of the same symmetry; other modes are not counted.
    """

    family: str
    k: float
    sizes: tuple[float, ...]
    own: np.ndarray
    rest: np.ndarray
    loss: float
    index: int

    def matrix(self) -> np.ndarray:
        """The student W [k, k], a neuron a row.

        Raises:
            InputError: k is not a whole number.
        """
        whole("k of a matrix", self.k, 1)
        block = np.repeat(np.arange(len(self.sizes)), np.round(self.sizes).astype(int))
        w = self.rest[np.ix_(block, block)]
        np.fill_diagonal(w, self.own[block])
        return w


class Mode(NamedTuple):
    """One eigenvalue of the Hessian at a member of a family.

    Attributes:
        representation: How its eigenvectors transform: trivial, standard of a block, standard x standard, x
            (antisymmetric matrices) or y (symmetric ones without a diagonal), rows adding to zero in both.
        value: The eigenvalue.
        multiplicity: At real k, a polynomial in k; whole at whole k.
    """

    representation: str
    value: float
    multiplicity: float


def family_member(family: str | int, k: float) -> Member:
    """The member of a family at size k, by continuation from large k.

    Args:
        family: "A", "I", "II", or the whole number p of p|k-p (1 is II).
        k: Real, above p and at most 1e5.

    Raises:
        InputError: There is no such family, k makes no sense, or the branch ends before k (it meets another one).
    """
    name, p = _named(family)
    k = float(k)
    if not (p + 1 < k <= MOST):
        raise InputError(f"k must be above {p + 1} and at most {MOST:g} for family {name}, found {k:g}.")
    return _member(name, p, k)


def family_modes(one: Member) -> list[Mode]:
    """The whole spectrum of the Hessian at a member, ascending; at whole k the multiplicities add to k^2.

    Eigenvalues that a block of one or two indices does not have are left out.
    """
    with float64():
        hessian, gram, of = _blocks(one)
    found = []
    for representation, count in _multiplicities(one.sizes).items():
        here = of == representation
        metric, basis = np.linalg.eigh(gram[np.ix_(here, here)])
        # Directions that coincide in blocks of one or two indices have no length.
        basis = basis[:, metric > 1e-9 * metric[-1]] / np.sqrt(metric[metric > 1e-9 * metric[-1]])
        values = np.linalg.eigvalsh(basis.T @ hessian[np.ix_(here, here)] @ basis)
        found += [Mode(representation, float(value), count) for value in values]
    return sorted(found, key=lambda mode: mode.value)


def family_birth(family: str | int) -> float:
    """k* at which a family becomes minima as k grows: its least eigenvalue is zero there, to 1e-9.

    Raises:
        InputError: There is no such family, or its branch ends before an eigenvalue changes sign.
    """
    least = lambda k: family_modes(family_member(family, k))[0].value  # noqa: E731
    high = 4.0 * (_named(family)[1] + 2)
    while least(high) < 0:
        high *= 1.5
    low = high
    while least(low) > 0:
        high, low = low, low - 0.5
    return float(brentq(least, low, high, xtol=1e-9))  # type: ignore[arg-type]


def family_expansion(family: str | int, terms: int = 4) -> dict[float, float]:
    """Coefficients of the loss in falling powers of k, from k^0 (A and I) or k^-1 (p|k-p) on in steps of a half.

    Fitted by least squares to members from k = 50 p to 1e5, with ten terms; the first is accurate to about 1e-7, the
    fourth to about 1e-5 of itself.

    Args:
        family: "A", "I", "II", or the whole number p of p|k-p.
        terms: How many, at most 6.

    Raises:
        InputError: There is no such family, or terms is not between 1 and 6.
    """
    name, p = _named(family)
    if not 1 <= whole("terms", terms, 1) <= 6:
        raise InputError(f"terms must be at most 6, found {terms}: float64 does not hold more.")
    first = 0.0 if name in ("A", "I") else 1.0
    k = np.geomspace(FIRST * max(p, 1), MOST, 30)
    loss = np.array([family_member(family, size).loss for size in k])
    powers = first + np.arange(10) / 2
    # Scaled by the leading power, so that all members count alike.
    fit = np.linalg.lstsq(k[:, None] ** (first - powers), loss * k**first, rcond=None)[0]
    return {-float(power): float(value) for power, value in zip(powers[:terms], fit, strict=False)}


# -- branches ----------------------------------------------------------------------------------------------------------


def _named(family: str | int) -> tuple[str, int]:
    if family in NAMES:
        return str(family), NAMES[str(family)]
    if str(family).isdigit() and int(family) >= 1:
        return ("II" if int(family) == 1 else str(int(family))), int(family)
    raise InputError(f"family must be A, I, II or a whole number p of at least 1, found {family!r}.")


def _entered(name: str, p: int, k: float) -> tuple[np.ndarray, np.ndarray]:
    """Leading terms in 1 / k (Arjevani and Field): own and rest."""
    if name == "A":
        return np.array([-1 + 2 / k]), np.array([[2 / k]])
    if name == "I":
        return np.array([1 + 1.7 / k, -1 + 2 / k]), np.array([[0.0, 0.7 / k], [-2.2 / k**2, 2 / k]])
    b = 4 / np.pi / k
    return np.array([-1 + 5.4 / k, 1.0]), np.array([[2 / k, b], [2 / k, -b / k]])


@lru_cache(maxsize=4096)
def _member(name: str, p: int, k: float) -> Member:
    start = FIRST * max(p, 1)
    if k >= start:
        found = _newton(name, p, k, *_entered(name, p, k))
        assert found is not None, f"the leading terms of family {name} miss it at k = {k:g}"
        return found
    node = int(np.log(k / start) / np.log(STEP))
    return _followed(_node(name, p, node), k)


@lru_cache(maxsize=4096)
def _node(name: str, p: int, number: int) -> Member:
    """The member at k = 50 p STEP^number, from the one before."""
    k = FIRST * max(p, 1) * STEP**number
    return _member(name, p, k) if number == 0 else _followed(_node(name, p, number - 1), k)


def _followed(here: Member, k: float) -> Member:
    """The member at k on the branch of another one.

    Raises:
        InputError: The branch ends: entries would jump, or the number of negative curvatures would change.
    """
    p = 0 if len(here.sizes) == 1 else int(here.sizes[0])
    step = 1.0 - k / here.k
    while here.k > k:
        to = max(k, here.k * (1 - step))
        there = _newton(here.family, p, to, here.own, here.rest)
        if there is None or _jumps(here, there):
            step *= 0.5
            if step < 1e-5:
                raise InputError(f"family {here.family} ends at k = {here.k:.4f} where it meets another branch.")
        else:
            here = there
    return here


def _jumps(here: Member, there: Member) -> bool:
    """Whether two members are on two branches: entries of one branch change at most twice as fast as log k."""
    change = max(np.max(np.abs(there.own - here.own)), np.max(np.abs(there.rest - here.rest)))
    return bool(change > 2 * np.log(here.k / there.k) or there.index != here.index)


def _newton(name: str, p: int, k: float, own: np.ndarray, rest: np.ndarray) -> Member | None:
    """The stationary point of the reduced loss next to these entries; None where Newton's method finds none."""
    n = np.array([k] if p == 0 else [p, k - p], float)
    q = len(n)
    lengths = np.sqrt(np.concatenate([n, (np.outer(n, n) - np.diag(n)).ravel()]))  # of a unit change of an entry
    used = lengths > 0
    x = np.concatenate([own, rest.ravel()])
    before = np.inf
    with float64():
        for _ in range(40):
            loss, gradient, hessian = (np.asarray(one) for one in _reduced(x, n))
            gradient = gradient[used] / lengths[used]
            scaled = hessian[np.ix_(used, used)] / np.outer(lengths[used], lengths[used])
            norm = float(np.linalg.norm(gradient))
            if not np.isfinite(norm):
                return None
            if norm < 1e-8 * k and norm >= 0.5 * before:  # rounding of the gradient, of order eps k, is reached
                index = int(np.sum(np.linalg.eigvalsh(scaled) < 0))
                return Member(name, k, tuple(n.tolist()), x[:q], x[q:].reshape(q, q), float(loss), index)
            before = norm
            x = x.copy()
            x[used] -= np.linalg.solve(scaled, gradient) / lengths[used]
    return None


@partial(jax.jit, compiler_options=QUICK)
def _reduced(x: Any, n: Any) -> Any:
    q = len(n)
    f = lambda x: class_loss(x[:q], x[q:].reshape(q, q), n)  # noqa: E731
    return f(x), jax.grad(f)(x), jax.hessian(f)(x)


# -- second derivatives that break the symmetry ------------------------------------------------------------------------
#
# Four indices of each block are singled out, so that each block is five classes of sizes 1, 1, 1, 1 and s - 4. One
# direction of each kind is enough, since all eigenvectors of a representation are images of one another.

SLOTS = 5
ONE_LESS_ANOTHER = np.array([1.0, -1.0, 0.0, 0.0, 0.0])
ANTISYMMETRIC, SYMMETRIC = np.zeros((SLOTS, SLOTS)), np.zeros((SLOTS, SLOTS))
for _i in range(3):
    ANTISYMMETRIC[_i, (_i + 1) % 3], ANTISYMMETRIC[(_i + 1) % 3, _i] = 1.0, -1.0
for _i in range(4):
    SYMMETRIC[_i, (_i + 1) % 4] = SYMMETRIC[(_i + 1) % 4, _i] = (-1.0) ** _i


def _directions(blocks: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Representation, change of own [q] and change of rest [q, q], q = 5 blocks."""
    q = SLOTS * blocks
    ones, xi = np.ones(SLOTS), ONE_LESS_ANOTHER

    def own(b: int, values: np.ndarray) -> np.ndarray:
        out = np.zeros(q)
        out[b * SLOTS : (b + 1) * SLOTS] = values
        return out

    def rest(a: int, b: int, values: np.ndarray) -> np.ndarray:
        out = np.zeros((q, q))
        out[a * SLOTS : (a + 1) * SLOTS, b * SLOTS : (b + 1) * SLOTS] = values
        return out

    none, nowhere = np.zeros(q), np.zeros((q, q))
    for b in range(blocks):
        yield "trivial", own(b, ones), nowhere
        yield f"standard {b}", own(b, xi), nowhere
        yield f"x {b}", none, rest(b, b, ANTISYMMETRIC)
        yield f"y {b}", none, rest(b, b, SYMMETRIC)
        for a in range(blocks):
            yield "trivial", none, rest(a, b, np.ones((SLOTS, SLOTS)))
            yield f"standard {a}", none, rest(a, b, np.outer(xi, ones))
            yield f"standard {b}", none, rest(a, b, np.outer(ones, xi))
            if a != b:
                yield "standard x standard", none, rest(a, b, np.outer(xi, xi))


def _multiplicities(sizes: tuple[float, ...]) -> dict[str, float]:
    """Dimension of each representation that there is."""
    found = {"trivial": 1.0}
    for b, s in enumerate(sizes):
        found |= {f"standard {b}": s - 1, f"x {b}": (s - 1) * (s - 2) / 2, f"y {b}": s * (s - 3) / 2}
    if len(sizes) == 2:
        found["standard x standard"] = (sizes[0] - 1) * (sizes[1] - 1)
    return {name: count for name, count in found.items() if count > 0}


def _blocks(one: Member) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second derivatives along all directions, their inner products as matrices W, and their representations."""
    blocks = len(one.sizes)
    directions = list(_directions(blocks))
    n = np.concatenate([[1.0, 1.0, 1.0, 1.0, s - 4] for s in one.sizes])
    block = np.repeat(np.arange(blocks), SLOTS)
    own, rest = one.own[block], one.rest[np.ix_(block, block)]
    d_own, d_rest = np.array([x for _, x, _ in directions]), np.array([x for _, _, x in directions])
    hessian = np.asarray(_along(own, rest, n, d_own, d_rest))
    weight = np.outer(n, n) - np.diag(n)
    gram = (d_own * n) @ d_own.T + np.einsum("iab,jab,ab->ij", d_rest, d_rest, weight)
    return hessian, gram, np.array([name for name, _, _ in directions])


@partial(jax.jit, compiler_options=QUICK)
def _along(own: Any, rest: Any, n: Any, d_own: Any, d_rest: Any) -> Any:
    f = lambda t: class_loss(own + t @ d_own, rest + jnp.einsum("i,iab->ab", t, d_rest), n)  # noqa: E731
    return jax.hessian(f)(jnp.zeros(len(d_own)))
