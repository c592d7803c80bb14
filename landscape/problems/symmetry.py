"""The group under which a two-layer loss is invariant: permutations, the teacher's symmetries and sign flips.

The loss F(W), W [n, d] with the student neurons as rows, depends on W only through inner products among students and
between students and the teacher. It is therefore unchanged by a permutation of the rows, by W -> W Q^T for any
orthogonal Q that maps the teacher's coloured anchors onto themselves, and for even activations by the sign of a row.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The group under which a two-layer loss is invariant, as the vectors that it must keep.

    Attributes:
        anchors: [q, d], the teacher as a finite set of vectors, for instance both ends of each teacher line and the sum
            of the teacher's rows; q may be 0, and then every orthogonal map is a symmetry. Rows may repeat.
        colours: [q] integers; an anchor is mapped only to an anchor of its colour.
        shape: (n, d), how the flat theta [n * d] reads as the student matrix, row by row.
        flips: Whether the sign of a single student row is a symmetry too (even activations).
        passes_mass: Whether rows on one ray can pass length to each other at no cost (homogeneous activations).

    Raises:
        ValueError: the three shapes do not fit together.
    """

    anchors: np.ndarray
    colours: np.ndarray
    shape: tuple[int, int]
    flips: bool = False
    passes_mass: bool = False

    def __post_init__(self):
        anchors, colours = np.shape(self.anchors), np.shape(self.colours)
        if len(anchors) != 2 or anchors[1] != self.shape[1] or colours != anchors[:1]:
            raise ValueError(
                f"Anchors of shape {anchors} with colours of shape {colours} do not fit students {self.shape}; "
                f"expected anchors [q, {self.shape[1]}] and colours [q]."
            )


def continuous_modes(theta: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """Orthonormal basis [g, p] of the tangent at theta of its orbit's continuous part.

    That part is W -> W exp(A)^T with A antisymmetric on the complement of the anchors' span. If the complement has
    dimension m and W's component in it has rank r, then g = r (m - r) + r (r - 1) / 2.
    """
    n, d = symmetry.shape
    students = np.asarray(theta, float).reshape(n, d)
    # The row of zeros gives the factorisation something to do when there are no anchors. Anchors are data, exact to
    # rounding (1e-16 of the largest): 1e-10 is far above that and far below any direction that is meant.
    _, sizes, directions = np.linalg.svd(np.vstack([symmetry.anchors, np.zeros((1, d))]))
    complement = directions[int(np.sum(sizes > 1e-10 * sizes[0])) :]
    m = len(complement)
    if m < 2:
        return np.zeros((0, n * d))

    # Write W's component as sum_a s_a u_a v_a^T. The turn in the plane (v_a, v_b) moves W along
    # s_a u_a v_b^T - s_b u_b v_a^T, of length hypot(s_a, s_b). Distinct planes use distinct products u v^T, so these
    # directions are orthogonal already.
    u, s, v = np.linalg.svd(students @ complement.T)
    v = v @ complement
    left = np.zeros((m, n))  # s_a u_a; zero for the directions that W has no component in
    left[: len(s)] = (u[:, : len(s)] * s).T
    sizes = np.linalg.norm(left, axis=1)
    a, b = np.triu_indices(m, 1)
    lengths = np.hypot(sizes[a], sizes[b])
    # Polished points of one orbit agree to about 1e-9 of their size: a smaller component is noise and not a direction.
    kept = lengths > 1e-8 * np.linalg.norm(students, 2)
    a, b, lengths = a[kept], b[kept], lengths[kept]
    modes = left[a, :, None] * v[b, None, :] - left[b, :, None] * v[a, None, :]
    return modes.reshape(-1, n * d) / lengths[:, None]
