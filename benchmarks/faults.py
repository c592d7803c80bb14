"""Faults injected on purpose, some hundred of each kind: what is damaged is found, what is killed goes on.

    python benchmarks/faults.py [--damages 500] [--signals 200] [--kills 200] [--doubles 20] [--seed 0]

Six studies are run once undisturbed. Then
- damages: a random file of a finished run gets a flipped bit, a hole or an early end, or is swapped with one of another
  run. `landscape resume` must say so, and end with the undisturbed result or with status 2.
- signals: SIGINT or SIGTERM at a random moment, half of them after the run has made its folder. The status must be 3,
  and a resume must come to the undisturbed result.
- kills: SIGKILL at such a moment; then the input file stays, is changed or is removed. A resume must come to the
  undisturbed result or be refused in one sentence because the file has changed.
- doubles: two resumes of one folder at once. One must work, and the other be refused in one sentence.
Moments before Python has come to the command's first line, or after its end, are drawn again.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from landscape import cli
from landscape.host import store

COMMAND = [sys.executable, "-m", "landscape.cli"]
TEACHER = {"teacher": [[1.0, 0.5], [0.0, -2.0]]}
DATA = {"x": [[1.0, 0.2], [-0.4, 1.0], [0.3, -0.9], [-1.0, -0.5]], "y": [1.0, -0.5, 0.4, 0.2], "weight_decay": 0.1}
STUDIES = {
    "teacher": ["teacher-student", "--teacher", "INPUT", "--restarts", "40", "--lanes", "8"],
    "table": ["safran-shamir-table", "--teachers", "2", "3", "--extra", "0", "--restarts", "20", "--lanes", "8"],
    "convex": ["hidden-convex", "--data", "INPUT", "--widths", "1", "2", "--restarts", "8"],
    "grow": ["grow-until-global", "--rows", "8", "--dimension", "2", "--restarts", "20"],
    "mismatch": ["degree-mismatch", "--restarts", "20"],
    "zero": ["zero-subnetwork", "--rows", "4", "--widths", "1", "2", "3", "--restarts", "6"],
}


def main() -> None:
    """Injects the faults and prints what became of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("damages", 500), ("signals", 200), ("kills", 200), ("doubles", 20), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=number)
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(Path(base))
        for name in ("damages", "signals", "kills", "doubles"):
            begun = time.perf_counter()
            found = Counter(getattr(bench, name)(getattr(asked, name), rng))
            print(f"{name}: {dict(found.most_common())}, {time.perf_counter() - begun:.0f} s", flush=True)


class Bench:
    """Undisturbed runs of all studies, twice with different seeds, and faults for copies of them."""

    def __init__(self, base: Path):
        """Runs them."""
        self.base, self.count = base, 0
        self.inputs = {"teacher": TEACHER, "convex": DATA}
        self.whole: dict[str, object] = {}
        self.other: dict[str, object] = {}
        self.seconds: dict[str, float] = {}
        for name in STUDIES:
            status, out, err = here("run", *self.options(base / "whole" / name, name), "--json")
            assert status == 0, err
            self.whole[name] = result(out)
            self.other[name] = result(
                here("run", *self.options(base / "other" / name, name), "--seed", "1", "--json")[1]
            )
            begun = time.perf_counter()
            done = self.started(base / "timed" / name, name)
            done.communicate()
            self.seconds[name] = time.perf_counter() - begun
        print({name: round(seconds, 1) for name, seconds in self.seconds.items()}, "s undisturbed", flush=True)

    def options(self, folder: Path, name: str) -> list[str]:
        """Of a study's run; its input file stands beside the folder."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        path = folder.parent / f"{folder.name}-input.json"
        if name in self.inputs:
            path.write_text(json.dumps(self.inputs[name]))
        options = [str(path) if option == "INPUT" else option for option in STUDIES[name]]
        return [*options, "--quiet", "--out", str(folder)]

    def started(self, folder: Path, name: str) -> subprocess.Popen:
        """A run as a process of its own."""
        command = [*COMMAND, "run", *self.options(folder, name), "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ)

    def folder(self) -> Path:
        """A new one."""
        self.count += 1
        return self.base / "faults" / str(self.count)

    def damages(self, number: int, rng: np.random.Generator) -> list[str]:
        """Damages single files."""
        out = []
        for _ in range(number):
            name = list(STUDIES)[rng.integers(len(STUDIES))]
            folder = self.folder()
            shutil.copytree(self.base / "whole" / name, folder)
            path = choice(rng, kept(folder))
            kind = self.damaged(rng, name, folder, path)
            status, text, err = here("resume", folder, "--json", "--quiet")
            named = any(word in err for word in ("damaged", "another run", "of another"))
            # Under the manifest of another run everything is done again, as that run.
            wanted = self.other if kind == "swap" and path == folder / store.MANIFEST else self.whole
            if status == 0 and same(result(text), wanted[name]):
                out.append(f"{kind}: found, done again" if named else f"{kind}: NOT SEEN ({name}, {path.name})")
            elif status == 2 and named and "Traceback" not in err:
                out.append(f"{kind}: found, refused")
            else:
                out.append(f"{kind}: WRONG ({name}, {path.name}, status {status}: {err.strip()[-200:]})")
            shutil.rmtree(folder, ignore_errors=True)
        return out

    def damaged(self, rng: np.random.Generator, name: str, folder: Path, path: Path) -> str:
        """Damages a file; says how."""
        kind = choice(rng, ["bit", "hole", "end", "swap"])
        content = bytearray(path.read_bytes())
        at = int(rng.integers(len(content)))
        if kind == "bit":
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == "hole":
            length = int(rng.integers(1, 200))
            content[at : at + length] = bytes(len(content[at : at + length]))
        elif kind == "end":
            content = content[:at]
        else:  # the same part of a run with another seed
            other = self.base / "other" / name / path.parent.relative_to(folder)
            there = choice(rng, [p for p in kept(other) if p.parent == other and p.suffix == path.suffix])
            path.unlink()
            path = path.with_name(there.name if path.suffix == ".parquet" else path.name)
            content = bytearray(there.read_bytes())
        path.write_bytes(content)
        return kind

    def signals(self, number: int, rng: np.random.Generator) -> list[str]:
        """Signals at random moments."""
        plans = [
            (choice(rng, list(STUDIES)), float(rng.random()), choice(rng, [signal.SIGINT, signal.SIGTERM]))
            for _ in range(number)
        ]
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(lambda plan: self.struck(*plan), plans))
        out = []
        for (name, _, _), (folder, status, err) in zip(plans, ended, strict=True):
            if status != 3 or "Traceback" in err or "Exception ignored" in err:
                out.append(f"WRONG (status {status}: {err.strip()[-300:]})")
            else:
                out.append(f"status 3, {self.gone_on_with(name, folder)}")
            shutil.rmtree(folder, ignore_errors=True)
        return out

    def kills(self, number: int, rng: np.random.Generator) -> list[str]:
        """Kills at random moments, and input files that change."""
        plans = [(choice(rng, list(STUDIES)), float(rng.random()), signal.SIGKILL) for _ in range(number)]
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(lambda plan: self.struck(*plan), plans))
        out = []
        for (name, _, _), (folder, _, _) in zip(plans, ended, strict=True):
            path = folder.parent / f"{folder.name}-input.json"
            what = "no input" if name not in self.inputs else choice(rng, ["kept", "changed", "gone"])
            if what == "changed":
                changed = json.loads(path.read_text())
                first = changed["teacher" if name == "teacher" else "x"][0]
                first[0] += 0.25
                path.write_text(json.dumps(changed))
            elif what == "gone":
                path.unlink()
            out.append(f"input {what}: {self.gone_on_with(name, folder, what == 'changed')}")
            shutil.rmtree(folder, ignore_errors=True)
        return out

    def struck(self, name: str, share: float, number: int) -> tuple[Path, int, str]:
        """A run that got a signal at this share of its time: folder, status, what it said."""
        while True:
            folder = self.folder()
            process = self.started(folder, name)
            while process.poll() is None and not heeds(process.pid):
                time.sleep(0.002)
            late = share > 0.5  # half of the moments are counted from the first manifest on
            while late and process.poll() is None and not (folder / store.MANIFEST).exists():
                time.sleep(0.002)
            time.sleep((2 * share - late) * self.seconds[name] / 2)
            on_time = process.poll() is None
            if on_time:
                process.send_signal(number)
            _, err = process.communicate(timeout=120)
            if on_time:
                return folder, process.returncode, err.decode()
            share = 0.5 * late + 0.8 * (share - 0.5 * late)
            shutil.rmtree(folder, ignore_errors=True)

    def gone_on_with(self, name: str, folder: Path, changed: bool = False) -> str:
        """What a resume of a run comes to, or the run again if there is no folder yet."""
        begun = (folder / store.MANIFEST).exists()
        if not begun and changed:
            return "not begun"
        arguments = ["resume", folder, "--quiet"] if begun else ["run", *self.options(folder, name)]
        status, text, err = here(*arguments, "--json")
        if status == 0 and same(result(text), self.whole[name]):
            return "identical" if begun else "not begun"
        if changed and status == 2 and "is not what it was" in err and len(err.strip().splitlines()) == 1:
            return "refused in one sentence"
        return f"WRONG ({name}, status {status}: {err.strip()[-200:]})"

    def doubles(self, number: int, rng: np.random.Generator) -> list[str]:
        """Two resumes at once."""
        out = []
        for _ in range(number):
            folder = self.folder()
            options = ["safran-shamir", "--teacher", "8", "--restarts", "400", "--lanes", "16", "--budget", "200000"]
            first = subprocess.Popen([*COMMAND, "run", *options, "--quiet", "--out", str(folder)], stderr=-1, stdout=-1)
            while not (folder / store.MANIFEST).exists():
                time.sleep(0.01)
            first.kill()
            first.communicate()
            command = [*COMMAND, "resume", str(folder), "--quiet"]
            both = [subprocess.Popen(command, stdout=-1, stderr=-1) for _ in range(2)]
            said = [process.communicate(timeout=300)[1].decode() for process in both]
            ends = sorted(process.returncode for process in both)
            refused = [text for text in said if "another process is at work" in text and len(text.splitlines()) == 1]
            good = ends == [0, 2] and len(refused) == 1 and len(store.read(folder).rows["restart"]) == 400
            out.append("one works, one sentence" if good else f"WRONG ({ends}, {said})")
            shutil.rmtree(folder, ignore_errors=True)
        return out


def here(*arguments: object) -> tuple[int, str, str]:
    """The command in this process, where its programs are compiled already: status, output, errors."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            return int(stop.code or 0), out.getvalue(), err.getvalue()
    raise AssertionError("the command did not exit")


def result(text: str) -> object:
    """A result without what may differ from run to run: times and machine."""

    def rest(value: object) -> object:
        if isinstance(value, dict):
            return {name: rest(one) for name, one in value.items() if name not in ("seconds", "environment")}
        return [rest(one) for one in value] if isinstance(value, list) else value

    return rest(json.loads(text))


def same(one: object, other: object) -> bool:
    """Whether two results agree; which member of an orbit was met first decides on the last digits of its numbers."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)
    return one == other


def kept(folder: Path) -> list[Path]:
    """What is read back of a run."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix in (".json", ".parquet")]


def choice(rng: np.random.Generator, things: list):
    """One of them."""
    return things[int(rng.integers(len(things)))]


def heeds(pid: int) -> bool:
    """Whether the process has a handler for SIGTERM."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return False
    said = next((line for line in lines if line.startswith("SigCgt")), "SigCgt: 0")
    return bool(int(said.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


if __name__ == "__main__":
    main()
