"""What looks along descents cost: processor time and memory of a run with 200 looks a descent, and of the same without.

    python benchmarks/looks.py [--teacher 20] [--restarts 10000] [--pairs 1] [--out FILE]

Each run is a command of its own, `landscape run safran-shamir --optimiser flow`, into a folder that is thrown away; its
processor time and its peak of resident memory are the kernel's. `--restarts` and a fifth of it are run: what the time
grows by between the two is that of the descents, without the start of the process and its compilations. Processor time
is not wall time: a busy machine adds to it by its caches only, and pairs run one after the other.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def run(teacher: int, restarts: int, looked: bool) -> dict[str, Any]:
    """Processor seconds, peak memory in MiB and labels of one run, and the looks that it kept."""
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        command = [
            "run",
            "safran-shamir",
            "--teacher",
            str(teacher),
            "--restarts",
            str(restarts),
            "--optimiser",
            "flow",
        ]
        command += ["--json", "--out", str(out), *(["--trace"] if looked else [])]
        with (Path(place) / "said.json").open("w") as said:
            child = subprocess.Popen(
                [sys.executable, "-c", "from landscape.cli import main; raise SystemExit(main())", *command],
                stdout=said, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            _, status, used = os.wait4(child.pid, 0)
        assert status == 0, f"the run ended with status {status}"
        labels = json.loads((Path(place) / "said.json").read_text())["labels"]
        looks = sum(int(one.name.split("-")[1]) for one in (out / "looks").glob("looks-*.parquet"))
    return {
        "restarts": restarts,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": round(used.ru_maxrss / 1024, 1),
        "labels": {label: count for label, count in labels.items() if count},
        "looks": looks,
    }


def main() -> None:
    """Measures, prints and writes; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=int, default=20, help="k = n")
    parser.add_argument("--restarts", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    asked = parser.parse_args()
    pairs = []
    for _ in range(asked.pairs):
        found = {
            (looked, restarts): run(asked.teacher, restarts, looked)
            for restarts in (asked.restarts // 5, asked.restarts)
            for looked in (False, True)
        }
        few, many = asked.restarts // 5, asked.restarts
        grown = [found[looked, many]["cpu_seconds"] - found[looked, few]["cpu_seconds"] for looked in (False, True)]
        whole = [found[looked, many]["cpu_seconds"] for looked in (False, True)]
        assert found[False, many]["labels"] == found[True, many]["labels"], "looks have changed what the run found"
        pair = {
            "plain": [found[False, few], found[False, many]],
            "looked": [found[True, few], found[True, many]],
            "ratio": round(whole[1] / whole[0], 3),
            "ratio_of_descents": round(grown[1] / grown[0], 3),
            "memory_growth": round(found[True, many]["peak_mib"] / found[True, few]["peak_mib"], 3),
        }
        pairs.append(pair)
        print(json.dumps(pair, indent=1), flush=True)
    said = {"teacher": asked.teacher, "cores": len(os.sched_getaffinity(0)), "pairs": pairs}
    if asked.out is not None:
        asked.out.write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
