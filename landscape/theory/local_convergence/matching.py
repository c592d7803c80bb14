"""Which teacher each student goes to, along descents: masses, average neurons and angles as observables of theta."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.arrays import AnyArray
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent
from landscape.problems.tied import TiedStudent, masses
from landscape.records import InputError

STRAY = 0.1  # a student further than this from its teacher, in radians, is astray


def matching(problem: Problem) -> dict[str, Callable[[AnyArray], Array]]:
    """What to look at along descents: how students gather around teachers, by functions of theta [p].

    Each student belongs to the teacher it has the least angle to (T_i of Zhou, Ge and Jin); up to sign for absolute
    values, not for other activations: relu(w.x) is not relu(-w.x).

    Returns:
        "mass", [k]: the mass of the students of each teacher over its own. "residual", [k]: |sum of its students -
        teacher|, the average neuron against the teacher. "angle": the root mean square angle to their teachers,
        students weighted by mass: those that are nearly dead move slowly and say nothing. "stray": the mass of students
        further than STRAY from their teachers, of all mass.

    Raises:
        InputError: The problem is no student and teacher with a homogeneous activation.
    """
    if isinstance(problem, TiedStudent):
        even, tied = True, True
    elif isinstance(problem, TeacherStudent) and problem.activation.homogeneous:
        even, tied = problem.activation.even, False
    else:
        raise InputError("students are matched to teachers for homogeneous activations over Gaussian inputs only.")
    teacher = np.asarray(problem.teacher, np.float64)

    def gathered(theta: AnyArray) -> dict[str, Array]:
        w = theta.reshape(-1, teacher.shape[1])
        z = masses(w)[1] if tied else w
        v = jnp.asarray(teacher, theta.dtype)
        size, total = jnp.linalg.norm(z, axis=1), jnp.linalg.norm(v, axis=1)
        u, line = z / jnp.maximum(size, jnp.finfo(z.dtype).tiny)[:, None], v / total[:, None]
        cosine = jnp.matmul(u, line.T, precision="highest")
        own = jnp.argmax(jnp.abs(cosine) if even else cosine, axis=1)
        sign = jnp.where(even & (jnp.take_along_axis(cosine, own[:, None], 1)[:, 0] < 0), -1.0, 1.0)
        # From the chord, which knows small angles to their last digit; a cosine knows them to 1e-8.
        chord = jnp.linalg.norm(sign[:, None] * u - line[own], axis=1)
        angle = 2 * jnp.arcsin(jnp.minimum(chord / 2, 1.0))
        member = (own[:, None] == jnp.arange(len(teacher))).astype(z.dtype)
        mean = jnp.matmul(member.T, sign[:, None] * z, precision="highest")
        return {
            "mass": (member * size[:, None]).sum(0) / total,
            "residual": jnp.linalg.norm(mean - v, axis=1),
            "angle": jnp.sqrt(jnp.sum(size * angle**2) / jnp.sum(size)),
            "stray": jnp.sum(jnp.where(angle > STRAY, size, 0.0)) / jnp.sum(size),
        }

    return {name: lambda theta, name=name: gathered(theta)[name] for name in ("mass", "residual", "angle", "stray")}
