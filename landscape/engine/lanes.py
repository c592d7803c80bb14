"""Lanes in blocks: what is compiled to move them, and the host's book of who is in them.

Lanes stand in blocks that fit a core's cache, and a block runs its whole chunk before the next one begins. Leaves of
lanes are [blocks, lanes of a block, ...], or [blocks, ..., lanes of a block] where the problem wants the lanes on the
last axis; scalars of a lane are [blocks, lanes of a block] in both. This is the only place where vmap, jit and sharding
are applied to lanes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from landscape import descent
from landscape.descent import Lane, Method
from landscape.engine import kernels
from landscape.engine.kernels import Form
from landscape.engine.looks import Look, Looks, Watch, look_at_starts
from landscape.engine.queue import Parked, Restarts
from landscape.polish import DECENT
from landscape.precision import float64
from landscape.problems.problem import QUICK, Problem
from landscape.problems.restart import keys_of

CPU = {"xla_cpu_multi_thread_eigen": False, **DECENT}  # every core has a thread of ours: XLA's would wait for one
KEPT = 64  # compiled chunks that a process keeps
BEGIN = 128  # restarts that begin at once on a CPU, where a call costs little beside the lanes of those that it lacks
MOVE = 32  # lanes that move together there: few do as a rule
FEW = 8  # up to one lane of so many in a block is looked at by itself; if more are due, the whole block is


class _Asked(NamedTuple):
    """The looks of a chunk, a row each.

    Attributes:
        place: Of the lane, [looks].
        stop: Which of the stops of its block, [looks].
        offset: After how many gradients of the chunk, [looks].
    """

    place: np.ndarray
    stop: np.ndarray
    offset: np.ndarray

    @classmethod
    def none(cls) -> _Asked:
        """No looks."""
        return cls(*np.zeros((3, 0), np.int64))


class Group:
    """Lanes that advance together, and the host's book of who is in them.

    Attributes:
        taken: Whether each place has a restart.
        book: The restart in each place; what it says of a free place means nothing.
        standing: Holds the lanes of restarts that left in the last look, and stand in their places still; None if none.
    """

    def __init__(
        self,
        problem: Problem,
        method: Method,
        dtype: np.dtype,
        blocks: int,
        size: int,
        sharding: NamedSharding,
        wide: tuple[int, ...] = (),
        looks: Looks | None = None,
        noise: np.ndarray | None = None,
    ):
        """Lanes of zeros, with nobody in them.

        Args:
            problem: The landscape.
            method: The way down.
            dtype: Of the lanes.
            blocks: On all devices together.
            size: Lanes of a block.
            sharding: Over the devices.
            wide: Numbers of blocks that are computed as one while so many have lanes, and nobody looks at them on their
                way; descending, each divides the one before.
            looks: When lanes are looked at on their way, and at what; None where they are not.
            noise: `restart.noise_key` of the run, for methods that draw random numbers; zero by default.
        """
        places = blocks * size
        self._wide = wide
        self._noise = np.zeros(2, np.uint32) if noise is None else noise
        self.method, self.dtype, self.size, self.sharding = method, dtype, size, sharding
        self.form = kernels.form(problem, method, dtype, next(iter(sharding.device_set)), looks is not None)
        self.trailing = self.form is Form.LAST_AXIS
        devices = sharding.mesh.size
        # Places in the order they are filled: the first blocks of every device, then the second ones.
        order = np.arange(blocks).reshape(devices, -1).T.reshape(-1)
        self.order = (order[:, None] * size + np.arange(size)).reshape(-1)
        self.per_device = blocks // devices
        self.idle = 0  # gradients since the last restart came in
        self.taken = np.zeros(places, bool)
        self.standing: Parked | None = None
        self.book = Restarts.new(np.zeros(places, np.int64))
        self._chunk: Any = None  # compiled
        self.looks = looks
        self.looked: list[dict[str, np.ndarray]] = []  # columns of looks that nobody has fetched yet
        self._asked = _Asked.none()
        row = jax.eval_shape(
            partial(descent.init, problem, method),
            jax.ShapeDtypeStruct((problem.p,), dtype),
            jax.ShapeDtypeStruct((), dtype),
        )

        def leaf(x: Any) -> Any:
            shape = (blocks, *x.shape, size) if self.trailing else (blocks, size, *x.shape)
            return jax.device_put(np.zeros(shape, x.dtype), sharding)

        self.lanes: Lane = jax.tree.map(leaf, row)

    # -- the book ------------------------------------------------------------------------------------------------------

    def put(self, places: np.ndarray, restarts: Restarts) -> None:
        """Gives restarts these places [m]; their lanes are put there by `begin` and `place`."""
        self.book.put(places, restarts)
        self.book.parked[places] = None
        self.taken[places] = True

    def leave(self, places: np.ndarray) -> Restarts:
        """Frees these places, and returns the restarts that had them."""
        assert self.taken[places].all()
        self.taken[places] = False
        return self.book.at(places)

    def free(self) -> np.ndarray:
        """The places nobody has, in the order they are filled."""
        return self.order[~self.taken[self.order]]

    def stand(self, places: np.ndarray) -> Parked:
        """What holds the lanes in these places [m], without taking them from there before `settle`."""
        self.standing = Parked(None, places)
        return self.standing

    def places_for(self, restarts: Restarts) -> np.ndarray:
        """Free places for some restarts, [m]: those they stand in, else the first ones."""
        free = self.free()
        if self.standing is None:
            return free[: len(restarts.number)]
        stays = restarts.held_by(self.standing)
        assert self.standing.places is not None
        places = np.empty(len(stays), np.int64)
        places[stays] = self.standing.places[restarts.row[stays]]
        places[~stays] = free[~np.isin(free, places[stays])][: np.sum(~stays)]
        return places

    def settle(self, others: list[Restarts]) -> None:
        """Takes the lanes of those of some restarts that stand here as rows: the places are to be used.

        Args:
            others: All restarts that have no place; their rows are numbered anew.
        """
        standing, self.standing = self.standing, None
        if standing is None:
            return
        assert standing.places is not None
        theirs, count = [np.zeros(0, np.int64)], 0
        for some in others:
            here = np.flatnonzero(some.held_by(standing))
            theirs.append(standing.places[some.row[here]])
            some.row[here] = count + np.arange(len(here))
            count += len(here)
        standing.places = None
        if count:
            standing.rows = self.rows(np.concatenate(theirs))

    def active(self) -> np.ndarray:
        """How many blocks each device has to run, [devices]: up to the last with a lane in it."""
        blocks = self.taken.reshape(-1, self.per_device, self.size).any(axis=2)
        return np.max(np.where(blocks, 1 + np.arange(self.per_device), 0), axis=1).astype(np.int32)

    def _moves(self) -> tuple[np.ndarray, np.ndarray]:
        """Places to be emptied, and free ones before them, so that whole blocks fall idle; none if none would."""
        filled = np.flatnonzero(self.taken[self.order])
        count = len(filled)
        blocks = -(-count // self.size)
        if not count or blocks * self.size > filled[-1]:
            return np.zeros(0, int), np.zeros(0, int)
        late = filled[filled >= blocks * self.size]
        free = np.flatnonzero(~self.taken[self.order][: blocks * self.size])[: len(late)]
        return self.order[late], self.order[free]

    def compact(self) -> None:
        """Moves lanes together where whole blocks fall idle by it."""
        source, target = self._moves()
        if not len(source):
            return
        m = self._at_once(len(source), MOVE)
        for i in range(0, len(source), m):
            some = slice(i, i + m)
            given = _repeated(source[some], m).astype(np.int32), self._nowhere_else(target[some], m)
            self.lanes = _shifted(self.trailing, self.lanes, *given)
        self.put(target, self.leave(source))

    def _at_once(self, count: int, on_cpu: int) -> int:
        """How many of so many lanes one program begins or moves, on a CPU `on_cpu`."""
        there = next(iter(self.sharding.device_set)).platform == "cpu"
        return min(on_cpu, len(self.taken)) if there else self._padded(count)

    def _nowhere_else(self, places: np.ndarray, m: int) -> np.ndarray:
        """Places for m lanes, of which those behind these have none."""
        return np.append(places, np.full(m - len(places), len(self.taken))).astype(np.int32)

    # -- the lanes -----------------------------------------------------------------------------------------------------

    def thetas(self, places: np.ndarray) -> np.ndarray:
        """Theta of the lanes in these places [m], [m, p], of one device that shares the host's memory."""
        theta = np.asarray(self.lanes.theta)  # a view
        block, slot = places // self.size, places % self.size
        return theta[block, :, slot] if self.trailing else theta[block, slot]

    def begin(self, problem: Problem, places: np.ndarray, theta: np.ndarray, restarts: Restarts) -> int:
        """Restarts at the start of their descents, from theta [m, p], in these places [m]; bytes sent to the device."""
        m, sent = self._at_once(len(places), BEGIN), 0
        for i in range(0, len(places), m):
            some = slice(i, i + m)
            where, at, scale = places[some], theta[some], restarts.step_scale[some]
            given = (
                self._nowhere_else(where, m),
                _repeated(at, m).astype(self.dtype, copy=False),
                _repeated(scale, m).astype(self.dtype, copy=False),
                self._noise,
                _repeated(restarts.number[some], m).astype(np.uint32),
            )
            self.lanes = _begun(problem, self.method, self.trailing, self.lanes, *given)
            sent += sum(column.nbytes for column in given)
        return sent

    def look_at_starts(self, problem: Problem, theta: np.ndarray, restarts: Restarts) -> None:
        """Writes down the look at descents that begin at theta [m, p], where one is asked for."""
        if self.looks is None or self.looks.at[0] != 0:
            return
        padded = np.resize(theta, (self._padded(len(theta)), theta.shape[1])).astype(self.dtype)
        seen = jax.tree.map(lambda x: np.asarray(x)[: len(theta)], look_at_starts(problem, self.looks.watch, padded))
        self._write(restarts, np.zeros(len(theta), np.int64), seen)

    def _write(self, restarts: Restarts, steps: np.ndarray, seen: Look) -> None:
        """Writes down looks at these restarts after so many gradients of their descents."""
        assert self.looks is not None
        names = [name for name, _ in self.looks.watch.observables]
        columns: dict[str, Any] = {"restart": restarts.number, "begun": restarts.begun, "step": steps}
        columns |= {"time": seen.time, "loss": seen.loss, "grad_norm": seen.grad_norm}
        columns |= dict(zip(names, seen.observed, strict=True))
        if seen.theta is not None:
            columns["theta"] = seen.theta
        self.looked.append(columns)

    def place(self, places: np.ndarray, rows: Lane, row: np.ndarray) -> None:
        """Puts the lanes that are so many rows of these, [m], in these places [m]."""
        where = np.full(len(rows.loss), len(self.taken), np.int32)
        where[row] = places
        self.lanes = _placed(self.trailing, self.lanes, where, rows)

    def rows(self, places: np.ndarray) -> Lane:
        """The lanes in these places [m], as rows where they are; those behind the m-th are padding."""
        return _taken(self.trailing, self.lanes, np.resize(np.asarray(places, np.int32), self._padded(len(places))))

    def _padded(self, count: int) -> int:
        """A number of rows that is one of few, so that few programs do: all places, a quarter of them, ..."""
        most = len(self.taken)
        while most >= 4 * max(count, self.size):
            most //= 4
        return most

    def chunk(self, problem: Problem) -> Callable[[], tuple[Lane, Look | None]]:
        """What returns the lanes a chunk later, and the looks on the way; compiled by now.

        The lanes of this group are used up by it.
        """
        given: tuple[Any, ...] = (self.lanes, self.active())
        if self.looks is not None:
            given += tuple(jax.device_put(x, self.sharding) for x in self._stops(self.looks))
        watch = None if self.looks is None else self.looks.watch
        if self._chunk is None:
            self._chunk = _program(problem, self.method, self.form, watch, given, self.sharding, self._wide)
        program = self._chunk

        def run() -> tuple[Lane, Look | None]:
            with float64():
                return jax.block_until_ready(program(problem, *given))

        return run

    def _stops(self, looks: Looks) -> tuple[np.ndarray, ...]:
        """Where in the next chunk each block stops for looks, and at whom; the end of the chunk is a stop of all.

        Returns:
            The stops of each block, [blocks, most]; how many, [blocks]; whether so many lanes are looked at there that
            all of the block are, [blocks, most]; which lanes otherwise, [blocks, most, few].
        """
        chunk, there, few = self.method.chunk, np.flatnonzero(self.taken), max(1, self.size // FEW)
        lane, offset = looks.due((self.book.steps - self.book.begun)[there], chunk)
        place = there[lane]
        block = place // self.size
        due = np.zeros((len(self.taken) // self.size, chunk + 1), np.int64)
        np.add.at(due, (block, offset), 1)
        due[:, chunk] += few + 1  # all are looked at there: the host wants to know where they are
        number = np.cumsum(due > 0, axis=1) - 1  # of the stop at each offset, where there is one
        stop = number[block, offset]
        self._asked = _Asked(place, stop, offset)
        shape = len(due), looks.most(chunk)
        stops, whole = np.full(shape, chunk, np.int32), np.ones(shape, bool)
        at = np.nonzero(due)
        stops[at[0], number[at]], whole[at[0], number[at]] = at[1], due[at] > few
        lanes = np.zeros((*shape, few), np.int32)
        order = np.lexsort((place, stop, block))
        block, stop, slot = block[order], stop[order], (place % self.size)[order]
        new = np.append(True, (block[1:] != block[:-1]) | (stop[1:] != stop[:-1]))[: len(block)]
        rank = np.arange(len(block)) - np.flatnonzero(new)[np.cumsum(new) - 1]
        lanes[block[rank < few], stop[rank < few], rank[rank < few]] = slot[rank < few]
        return stops, (due > 0).sum(axis=1).astype(np.int32), whole, lanes

    def advanced(self, lanes: Lane, seen: Look | None) -> None:
        """Takes in what a chunk has returned, before its gradients are counted; writes down the looks that were due."""
        self.lanes = lanes
        if self.looks is None or seen is None:
            return
        place, stop, offset = self._asked
        if not len(place):
            return
        where = place // self.size, stop, place % self.size
        restarts = self.book.at(place)
        self._write(
            restarts, restarts.steps - restarts.begun + offset, jax.tree.map(lambda x: np.asarray(x)[where], seen)
        )


def _repeated(some: np.ndarray, m: int) -> np.ndarray:
    """The rows of an array, repeated up to m of them."""
    return some if len(some) == m else np.resize(some, (m, *some.shape[1:]))


# -- compiled pieces ---------------------------------------------------------------------------------------------------

_PROGRAMS: OrderedDict[Any, Any] = (
    OrderedDict()
)  # compiled chunks, by all that they depend on; the last used at the end


def _program(
    problem: Problem,
    method: Method,
    form: Form,
    watch: Watch | None,
    given: tuple[Any, ...],
    sharding: NamedSharding,
    wide: tuple[int, ...],
) -> Any:
    """The compiled chunk for a problem, and lanes and looks of these shapes; runs of one shape share it."""
    leaves, facts = jax.tree.flatten((problem, given))
    key = (method, form, watch, facts, tuple(jax.typeof(leaf) for leaf in leaves), sharding, wide)
    if key not in _PROGRAMS:
        chunk = partial(_chunk, method, form, wide)
        chunk = chunk if watch is None else partial(_looked_chunk, method, form, watch)
        if sharding.mesh.size > 1:
            spec = PartitionSpec("lanes")
            specs = (PartitionSpec(), *[spec] * len(given))
            chunk = jax.shard_map(chunk, mesh=sharding.mesh, in_specs=specs, out_specs=spec, check_vma=False)
        made = jax.jit(chunk, donate_argnums=1).lower(problem, *given)
        on_cpu = next(iter(sharding.device_set)).platform == "cpu"
        _PROGRAMS[key] = made.compile(compiler_options=CPU if on_cpu else None)
        if len(_PROGRAMS) > KEPT:
            _PROGRAMS.popitem(last=False)
    _PROGRAMS.move_to_end(key)
    return _PROGRAMS[key]


def _chunk(
    method: Method, form: Form, wide: tuple[int, ...], problem: Problem, lanes: Lane, active: Any
) -> tuple[Lane, None]:
    """The lanes of the first `active` blocks, a chunk of gradients later: so many `wide` at a time, then one by one."""
    trailing = form is Form.LAST_AXIS
    size = lanes.loss.shape[1]

    def advanced(many: int, i: Any, lanes: Lane) -> Lane:
        """The lanes with blocks i many, ..., i many + many - 1 advanced."""

        def joined(x: Any) -> Any:
            x = jax.lax.dynamic_slice_in_dim(x, i * many, many)
            x = jnp.moveaxis(x, 0, -2) if trailing else x
            return x.reshape(*x.shape[:-2], many * size) if trailing else x.reshape(many * size, *x.shape[2:])

        def parted(x: Any, old: Any) -> Any:
            x = x.reshape(*x.shape[:-1], many, size) if trailing else x.reshape(many, size, *x.shape[1:])
            x = jnp.moveaxis(x, -2, 0) if trailing else x
            return jax.lax.dynamic_update_slice_in_dim(old, x, i * many, 0)

        one = kernels.advance(form, problem, method, jax.tree.map(joined, lanes), method.chunk)
        return jax.tree.map(parted, one, lanes)

    done: Any = 0
    for many in (*wide, 1):
        whole = active[0] // many
        lanes = jax.lax.fori_loop(done // many, whole, partial(advanced, many), lanes)
        done = whole * many
    return lanes, None


def _looked_chunk(
    method: Method,
    form: Form,
    watch: Watch,
    problem: Problem,
    lanes: Lane,
    active: Any,
    stops: Any,
    count: Any,
    whole: Any,
    few: Any,
) -> tuple[Lane, Look]:
    """The same, and what is seen at the first `count` stops of each block, [blocks, stops, lanes of a block, ...].

    Where `whole`, all lanes of the block are looked at, else those that `few` names; of the others nothing is said.
    """
    trailing = form is Form.LAST_AXIS

    def all_seen(block: Lane, chosen: Any) -> tuple[Lane, Look]:
        block = kernels.evaluated(form, problem, method, block)
        return block, watch.of(block, trailing)

    def few_seen(block: Lane, chosen: Any) -> tuple[Lane, Look]:
        some = jax.tree.map(lambda x: x[..., chosen] if trailing else x[chosen], block)
        look = watch.of(kernels.evaluated(form, problem, method, some), trailing)
        nothing = jax.tree.map(lambda x: jnp.zeros((block.loss.shape[0], *x.shape[1:]), x.dtype), look)
        return block, jax.tree.map(lambda x, y: x.at[chosen].set(y), nothing, look)

    one = jax.eval_shape(lambda lanes: watch.of(jax.tree.map(lambda x: x[0], lanes), trailing), lanes)
    seen = jax.tree.map(lambda x: jnp.zeros((*stops.shape, *x.shape), x.dtype), one)

    def block(i: Any, carry: tuple[Lane, Look]) -> tuple[Lane, Look]:
        def piece(j: Any, carry: tuple[Lane, Look]) -> tuple[Lane, Look]:
            one, seen = carry
            first = jnp.where(j == 0, 0, stops[i, j - 1])
            one = kernels.moved(form, problem, method, one, stops[i, j] - first, first)
            one, look = jax.lax.cond(whole[i, j], all_seen, few_seen, one, few[i, j])
            return one, jax.tree.map(lambda x, y: x.at[i, j].set(y), seen, look)

        lanes, seen = carry
        one, seen = jax.lax.fori_loop(0, count[i], piece, (jax.tree.map(lambda x: x[i], lanes), seen))
        return jax.tree.map(lambda x, y: x.at[i].set(y), lanes, one), seen

    return jax.lax.fori_loop(0, active[0], block, (lanes, seen))


@partial(jax.jit, static_argnames=("method", "trailing"), donate_argnums=3, compiler_options=QUICK)
def _begun(
    problem: Problem, method: Method, trailing: bool, lanes: Lane, where: Any, theta: Any, step_scale: Any, noise: Any,
    numbers: Any,
) -> Lane:  # fmt: skip
    """The lanes with restarts at the start of their descents in these places [m]; each draws by its number.

    What the method never reads before it is written stays that of the lane before: most of a lane's memory.
    """
    fresh = jax.vmap(partial(descent.init, problem, method))(theta, step_scale, keys_of(noise, numbers))
    begun = _put(trailing, lanes, where, fresh)
    kept = {name: getattr(lanes.memory, name) for name in method.unread}
    return begun._replace(memory=begun.memory._replace(**kept)) if kept else begun


@partial(jax.jit, static_argnames="trailing", donate_argnums=1, compiler_options=QUICK)
def _placed(trailing: bool, lanes: Lane, where: Any, rows: Lane) -> Lane:
    """The lanes with rows put in these places [m]; a place beyond the last is none."""
    return _put(trailing, lanes, where, rows)


@partial(jax.jit, static_argnames="trailing", donate_argnums=1, compiler_options=QUICK)
def _shifted(trailing: bool, lanes: Lane, source: Any, target: Any) -> Lane:
    """The lanes with those in some places [m] put in others [m], of which none is in both; beyond the last is none."""
    return _put(trailing, lanes, target, _rows(trailing, lanes, source))


def _put(trailing: bool, lanes: Lane, where: Any, rows: Lane) -> Lane:
    size = lanes.loss.shape[1]
    at = (where // size, ..., where % size) if trailing else (where // size, where % size)
    return jax.tree.map(lambda x, row: x.at[at].set(row, mode="drop"), lanes, rows)


@partial(jax.jit, static_argnames="trailing", compiler_options=QUICK)
def _taken(trailing: bool, lanes: Lane, where: Any) -> Lane:
    """Rows of the lanes in these places [m]."""
    return _rows(trailing, lanes, where)


def _rows(trailing: bool, lanes: Lane, where: Any) -> Lane:
    size = lanes.loss.shape[1]
    at = (where // size, ..., where % size) if trailing else (where // size, where % size)
    return jax.tree.map(lambda x: x[at], lanes)
