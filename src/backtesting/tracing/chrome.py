"""A trace as a file that Perfetto and chrome://tracing open: one track per participant, one event per span.

Written after the run by the thread that ran it, beside its place and published by one rename, so that a reader never
sees half of it.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from src.backtesting.tracing.probe import Probe
from src.backtesting.tracing.track import Overrun, Span, Track
from src.core.errors import ConfigError
from src.core.timeframe import format_instant

__all__ = ["ensure_trace_file", "write_trace"]

_PROCESS = 1


def ensure_trace_file(path: Path) -> None:
    """Prove that a trace can be written to `path`; call before a run starts.

    Raises:
        ConfigError: it cannot; nothing was made or changed.
    """
    try:
        found = _what_hinders(path)
    except OSError as error:
        found = str(error.strerror or error)
    if found:
        raise ConfigError(
            f"--trace: expected a file that can be written at {path}, found {found}; name another one",
            path=str(path),
        )


def write_trace(probe: Probe, path: Path, *, title: str = "Lockstep") -> int:
    """Write what a probe has kept; the number of spans.

    Times are microseconds since driving began. A span's `args` hold its virtual instant and what is known besides.

    Args:
        title: the name of the process in the viewer.

    Raises:
        ConfigError: the file cannot be written; there is none then, or the old one.
    """
    beside = _beside(path)
    spans = 0
    try:
        with beside.open("w", encoding="utf-8", newline="\n") as file:
            file.write('{"displayTimeUnit": "ns",\n"traceEvents": [\n')
            file.write(json.dumps(_named("process_name", 0, name=title)))
            for event in _events(probe):
                spans += event["ph"] == "X"
                file.write(",\n" + json.dumps(event, separators=(",", ":")))
            file.write('\n],\n"otherData": ' + json.dumps(_summary(probe)) + "}\n")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise ConfigError(
            f"expected room and permission for the trace at {path}, found: {error.strerror or error}; "
            "the run itself is not affected",
            path=str(path),
        ) from error
    return spans


def _what_hinders(path: Path) -> str:
    if path.is_dir():
        return "a folder"
    if path.exists() and not path.is_file():
        return "something that is no file"  # a device or a pipe would be replaced by a file
    if not path.parent.is_dir():
        return f"no folder {path.parent}"
    if path.exists() and not os.access(path, os.W_OK):
        return "a file that must not be written"
    beside = _beside(path)
    beside.write_bytes(b"")
    beside.unlink()
    return ""


def _beside(path: Path) -> Path:
    return path.with_name(f".trace-{os.getpid()}.tmp")


def _events(probe: Probe) -> Iterator[dict[str, Any]]:
    zero_ns = probe.began_ns or 0
    for track in probe.tracks:
        thread = track.order + 1
        yield _named("thread_name", thread, name=track.name)
        yield _named("thread_sort_index", thread, sort_index=track.order)
        yield from _spans(track, thread, zero_ns)
        for overrun in track.overruns:
            yield _overrun(overrun, track, thread, zero_ns)


def _spans(track: Track, thread: int, zero_ns: int) -> Iterator[dict[str, Any]]:
    # By begin, the longer one first: what contains comes before what it contains. Spans end in the opposite order, so
    # that among equals the later one is the outer.
    ordered = sorted(reversed(track.spans), key=lambda span: (span.begin_ns, -span.end_ns))
    instants: dict[int, str] = {}
    for span in ordered:
        virtual = instants.get(span.virtual_ns)
        if virtual is None:
            instants.clear()  # neighbours share their instant
            virtual = instants[span.virtual_ns] = _iso(span.virtual_ns)
        yield _complete(span, thread, zero_ns, virtual)


def _complete(span: Span, thread: int, zero_ns: int, virtual: str) -> dict[str, Any]:
    return {
        "ph": "X",
        "name": span.name,
        "cat": span.kind.name.lower(),
        "pid": _PROCESS,
        "tid": thread,
        "ts": (span.begin_ns - zero_ns) / 1e3,
        "dur": (span.end_ns - span.begin_ns) / 1e3,
        "args": {"virtual": virtual, **span.details},
    }


def _overrun(overrun: Overrun, track: Track, thread: int, zero_ns: int) -> dict[str, Any]:
    return {
        "ph": "i",
        "s": "t",
        "name": "OVERRUN",
        "cat": "turn",
        "pid": _PROCESS,
        "tid": thread,
        "ts": (overrun.end_ns - zero_ns) / 1e3,
        "args": {
            "virtual": _iso(overrun.virtual_ns),
            "turn_ms": overrun.duration_ns / 1e6,
            "poll_ms": track.poll_ns / 1e6,
        },
    }


def _named(what: str, thread: int, **values: str | int) -> dict[str, Any]:
    return {"ph": "M", "name": what, "pid": _PROCESS, "tid": thread, "args": values}


def _summary(probe: Probe) -> dict[str, Any]:
    statistics = probe.statistics()
    return {
        "turns": statistics.turns,
        "steps": statistics.steps,
        "kept_spans": statistics.kept_spans,
        "dropped_spans": statistics.dropped_spans,
        "overruns": statistics.overruns,
    }


def _iso(instant_ns: int) -> str:
    return format_instant(instant_ns).replace(" ", "T")
