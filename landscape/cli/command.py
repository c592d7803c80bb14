"""The `landscape` command."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from functools import partial

from landscape.cli import guide, labels, runs, slices, topology
from landscape.cli.arguments import BAD_INPUT, OK, STOPPED, ascii_digits, read_options, use_64_bits
from landscape.host import interrupt
from landscape.host.exhausted import out_of_memory
from landscape.records import InputError, shortened, version_of
from landscape.studies import DEFAULT
from landscape.studies.given import meant

USAGE = """\
landscape: a census of where gradient descent ends, every end labelled global or spurious, with the evidence.

  landscape run [NAME | FILE.toml] [options]   run a study (default: {default}); landscape run NAME --help lists options
                                               lists in FILE.toml run a grid
  landscape studies [NAME]                     the built-in studies; one in full
  landscape show DIR [--json]                  the census of a run again; show A B compares two
  landscape resume DIR [--json]                go on where a run stopped
  landscape plot DIR                           figures of a run, as PNG files in DIR/figures
  landscape report DIR [--out FILE.html]       a run as one HTML page that needs no network: table, figures, minima
  landscape export DIR [--format KIND]         a run as one file, a row a restart: csv, json, parquet, netcdf
  landscape slice FILE | DIR [options]         a picture of the loss around points or through them; --help lists options
  landscape topology DIR [options]             minima of a run, barriers between them, disconnectivity graph; --help
  landscape label FILE [--json] [--improve]    label the points in a JSON or npz file; --improve: better networks too;
                                               --seconds S: searches for optima end then, with the bounds they have;
                                               --data FILE: the point is a model of PyTorch or another library
  landscape bench [--quick] [options]          what this machine does, beside its own limits; --help lists options
  landscape guide [TOPIC]                      the pages of the guide; one of them: what labels rest on, files, Python
  landscape --version

Options of every run: --out DIR keeps the run in a new folder, --json prints one JSON object and nothing else,
--restarts N, --seed S. Of run and resume: --workers N does it in N processes of this machine, --scheduler ADDRESS on
the workers of a dask scheduler. Of show, resume, plot and report: --problem FILE.py, for a run of a loss from Python;
a variable `problem` of the file is that loss. Exit status: 0 done, 2 bad input, 3 stopped before the end (what is done
is kept).
"""


def command(arguments: list[str]) -> int:
    """Runs the command and returns its status; what goes wrong is one sentence on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show
    try:
        status = dispatch(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:
        _close_output()  # the reader has gone
        return OK
    except (InputError, OSError, MemoryError, RuntimeError, ValueError) as error:
        if interrupt.requested():
            return _stopped()  # what an interrupt became on its way
        sentence = _sentence(error)
        if sentence is None:
            raise
        print(f"landscape: {sentence}", file=sys.stderr)
        return BAD_INPUT
    return _stopped() if interrupt.requested() and status == OK else status


def _stopped() -> int:
    print("landscape: stopped.", file=sys.stderr)
    return STOPPED


def _sentence(error: Exception) -> str | None:
    """What an error says to someone who runs the command; None where it is a defect of ours."""
    if isinstance(error, InputError):
        return str(error)
    if (said := out_of_memory(error)) is not None:
        return f"the memory of this machine does not suffice{f' ({said})' if said else ''}."
    if isinstance(error, OSError):
        if error.filename is None:
            _close_output()
        where = "standard output" if error.filename is None else shortened(error.filename, word=200, most=400)
        return f"cannot read or write {where}: {error.strerror or error}."
    return None


def _close_output() -> None:
    """Has nothing more written to standard output, which would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(default=DEFAULT.name), end="")
        return OK
    if arguments[0] == "--version":
        print(f"landscape {version_of('landscape')}")
        return OK
    commands = {
        "run": runs.run,
        "studies": runs.list_studies,
        "show": runs.show,
        "resume": runs.resume,
        "plot": runs.plot,
        "report": runs.report,
        "export": runs.export,
        "slice": slices.slice_,
        "topology": topology.topology,
        "label": labels.label,
        "bench": bench,
        "guide": guide.guide,
    }
    if arguments[0] not in commands:
        near = meant(arguments[0], [*commands, "--version", "--help"])
        raise InputError(f"command {arguments[0]!r} is unknown; {near}known are {', '.join(commands)}.")
    if arguments[0] not in ("run", "resume", "label"):
        interrupt.at_once()
    return commands[arguments[0]](arguments[1:])


def bench(arguments: list[str]) -> int:
    ascii_digits(arguments)
    use_64_bits()
    from landscape.host.bench import bench as bench_
    from landscape.host.bench.asked import Bench

    more = "`landscape bench --help` lists the options"
    asked = read_options(Bench, arguments, "landscape bench", bench_.__doc__, more)
    result = bench_.bench(asked, None if asked.json else partial(print, flush=True))
    if asked.json:
        print(json.dumps(result, allow_nan=False))
    return OK
