"""Transition states: ours against topsearch (IBM, on PyPI) on two landscapes that both can state, in one run.

    python benchmarks/topsearch.py --python PYTHON [--seconds 60] [--searches 100] [--out FILE]

PYTHON is an interpreter that has `topsearch`: it wants an older NumPy, so that an environment of its own is best. Where
it has none, the script says so and ends.

* camel: the six-hump camel function in two dimensions, a test function of topsearch; seven states, six minima.
* mueller-brown: the surface of Mueller and Brown (1979), stated for both; two states, three minima.

Each works in a fresh process and counts its processor time from after the imports to the end, the search for minima
included. topsearch: basin hopping, then nudged elastic bands and hybrid eigenvector following between near minima, pair
after pair until the time is up, with the settings of its examples. Ours: `transition_states` without given minima;
compilation is counted, and told apart by a second call. States are compared by their energies, to 1e-4.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT = 0.01  # of the gallery's surface, over the published one
SAME = 1e-4  # energies this near are of one state: topsearch converges to gradients of 1e-5
PROBLEMS = {"camel": "six-hump-camel", "mueller-brown": "mueller-brown"}  # and their names in the gallery


def main() -> None:
    """Runs both, or one of them as a worker; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="an interpreter that has topsearch")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time that topsearch may take a problem")
    parser.add_argument("--searches", type=int, default=100, help="of ours, in each round")
    parser.add_argument("--out", type=Path, help="write the result here")
    parser.add_argument("--worker", nargs=2, metavar=("WHO", "PROBLEM"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        who, problem = asked.worker
        found = ours(problem, asked.searches) if who == "ours" else theirs(problem, asked.seconds)
        print(json.dumps(found))
        return
    there = subprocess.run([asked.python, "-c", "import topsearch"], capture_output=True, check=False)
    if there.returncode:
        print(f"topsearch is not installed for {asked.python}; nothing is compared.")
        return
    result = {"environment": environment(asked.python), "same_energy": SAME}
    for problem in PROBLEMS:
        one = _worker(sys.executable, "ours", problem, asked)
        two = _worker(asked.python, "topsearch", problem, asked)
        # Each of theirs is paired with one of ours of its energy: what is left over was missed.
        missed, left = [], sorted(one["states"])
        for energy in two["states"]:
            near = [i for i, other in enumerate(left) if abs(other - energy) <= SAME]
            if near:
                left.pop(near[0])
            else:
                missed.append(energy)
        result[problem] = {"ours": one, "topsearch": two, "theirs_that_we_miss": missed, "ours_that_they_miss": left}
        for name, found in (("ours", one), ("topsearch", two)):
            rate = len(found["states"]) / found["seconds"]
            again = f", again {found['again']:.2f} s" if "again" in found else ""
            said = f"{len(found['states'])} states, {len(found['minima'])} minima, {found['seconds']:.2f} s"
            print(f"{problem:16} {name:10} {said}{again}: {rate:.3g} states a second", flush=True)
        print(f"{problem:16} theirs that we miss: {len(missed)}; ours that they miss: {len(left)}", flush=True)
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=1) + "\n")


def environment(python: str) -> dict[str, Any]:
    """Versions and machine."""
    import platform
    from importlib.metadata import version

    code = "from importlib.metadata import version as v; print(v('topsearch'), v('numpy'))"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return {
        "landscape": version("landscape"), "jax": version("jax"), "numpy": version("numpy"),
        "topsearch": said[0], "numpy of topsearch": said[1], "python": platform.python_version(),
        "machine": platform.machine(), "cores": os.cpu_count(), "clock": "processor time of one process, one thread",
    }  # fmt: skip


def _worker(python: str, who: str, problem: str, asked: argparse.Namespace) -> dict[str, Any]:
    """What one contender finds, in a fresh process and an empty folder."""
    command = [python, str(Path(__file__).resolve()), "--worker", who, problem]
    command += ["--seconds", str(asked.seconds), "--searches", str(asked.searches)]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=folder, env=os.environ | one_thread
        )
    return json.loads(done.stdout.splitlines()[-1])


def ours(name: str, searches: int) -> dict[str, Any]:
    """Our states and minima, with the time of a first and of a second call."""
    import landscape as ls
    from landscape import gallery

    problem = gallery.problem(PROBLEMS[name])
    spent = []
    for _ in range(2):
        begun = time.process_time()
        found = ls.transition_states(problem, searches=searches)
        spent.append(time.process_time() - begun)
    return {
        "states": [state.loss for state in found.states],
        "minima": sorted(found.losses.tolist()),
        "largest_gradient": max(state.grad_norm for state in found.states),
        "seconds": spent[0],
        "again": spent[1],
    }


def theirs(name: str, seconds: float) -> dict[str, Any]:
    """States and minima of topsearch."""
    import random

    here = Path(__file__).resolve().parent  # where this script has the name of the package
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != here]
    from topsearch.data.coordinates import StandardCoordinates
    from topsearch.data.kinetic_transition_network import KineticTransitionNetwork
    from topsearch.global_optimisation.basin_hopping import BasinHopping
    from topsearch.global_optimisation.perturbations import StandardPerturbation
    from topsearch.potentials.potential import Potential
    from topsearch.potentials.test_functions import Camelback
    from topsearch.sampling.exploration import NetworkSampling
    from topsearch.similarity.similarity import StandardSimilarity
    from topsearch.transition_states.hybrid_eigenvector_following import HybridEigenvectorFollowing
    from topsearch.transition_states.nudged_elastic_band import NudgedElasticBand

    class MuellerBrown(Potential):
        """The gallery's surface, in NumPy with its gradient."""

        def function(self, position: np.ndarray) -> float:
            return self.function_gradient(position)[0]

        def gradient(self, position: np.ndarray) -> np.ndarray:
            return self.function_gradient(position)[1]

        def function_gradient(self, position: np.ndarray) -> tuple[float, np.ndarray]:
            x, y = position
            u, v = x - np.array([1.0, 0.0, -0.5, -1.0]), y - np.array([0.0, 0.5, 1.5, 1.0])
            a, b, c = np.array([-1, -1, -6.5, 0.7]), np.array([0, 0, 11, 0.6]), np.array([-10, -10, -6.5, 0.7])
            each = HEIGHT * np.array([-200.0, -100.0, -170.0, 15.0]) * np.exp(a * u**2 + b * u * v + c * v**2)
            return float(each.sum()), np.array([each @ (2 * a * u + b * v), each @ (b * u + 2 * c * v)])

    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 the generator that topsearch draws from
    network = KineticTransitionNetwork()
    potential: Any = Camelback() if name == "camel" else MuellerBrown()
    bounds = [(-3.0, 3.0), (-2.0, 2.0)] if name == "camel" else [(-1.7, 1.3), (-0.5, 2.1)]
    coordinates = StandardCoordinates(ndim=2, bounds=bounds)
    same = StandardSimilarity(0.05, SAME)
    step = StandardPerturbation(max_displacement=1.0, proportional_distance=True)
    hops, temperature = 100, 100.0
    band = NudgedElasticBand(potential, 50.0, 10.0, 20, 1e-2)
    single = HybridEigenvectorFollowing(potential, 1e-5, 100, 0.05)
    begun = time.process_time()
    sampling = NetworkSampling(network, coordinates, BasinHopping(network, potential, same, step), single, band, same)
    sampling.get_minima(coordinates, hops, 1e-5, temperature)
    tried, last = 0, time.process_time() - begun
    for pair in sampling.select_minima(coordinates, "ClosestEnumeration", 8):
        if time.process_time() - begun > seconds:
            break
        before = network.n_ts
        sampling.run_connection_attempts([pair])
        tried += 1
        if network.n_ts > before:
            last = time.process_time() - begun
    energies = [data["energy"] for *_, data in network.G.edges(data=True)]
    return {
        "states": sorted(float(energy) for energy in energies),
        "minima": sorted(float(network.get_minimum_energy(i)) for i in range(network.n_minima)),
        "pairs": tried,
        "seconds": last,  # when the last state was found
        "seconds_in_all": time.process_time() - begun,
    }


if __name__ == "__main__":
    main()
