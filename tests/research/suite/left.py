"""A suite's folder as the suite leaves it, made of runs that are stored by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from src.backtesting.result import Outcome
from src.research.executors.port import Lost
from src.research.suite.ports import RunAnswer
from src.research.suite.records import RecordBook
from tests.research.suite.stored import stored_run, stored_suite

# Daily profits of the runs over fast and slow; of the pair 2, 30 there are two, which differ in `size`.
NETS: dict[tuple[int, int, float], tuple[float, ...]] = {
    (1, 10, 0.5): (-5, 3, -4, 1),
    (1, 30, 0.5): (2, -3, 2, -2),
    (2, 10, 0.5): (3, -1, 4, 2),
    (2, 30, 0.5): (1, 1, 2, 1),
    (2, 30, 1.0): (-2, 4, -3, 5),
}


def left_suite(folder: Path, *, again: bool = False) -> Path:
    """A suite of five runs that ended, one that failed and one that was lost, with its results and its folder.

    Args:
        again: the first run is listed a second time, by another name.
    """
    runs = folder / "runs"
    named: list[tuple[RunAnswer, dict[str, Any]]] = [
        (
            stored_run(runs, {"fast": fast, "slow": slow, "size": size}, *nets),
            {"fast": fast, "slow": slow, "size": size, "symbols": ["AAA", "BBB"]},
        )
        for (fast, slow, size), nets in NETS.items()
    ]
    failed = stored_run(runs, {"fast": 3}, 9, 9, outcome=Outcome.FAILED)
    named.append((failed, {"fast": 3, "slow": 10, "size": 0.5, "symbols": ["AAA", "BBB"]}))
    if again:
        named.append((named[0][0], {**named[0][1], "slow": 11}))
    stored_suite(runs / "results.duckdb", "demo", runs, *named)
    place = runs / "suites" / "demo-0123456789ab"
    place.mkdir(parents=True)
    with RecordBook(place / "records.jsonl") as book:
        for answer, _ in named:
            book.append(answer)
        book.append_lost("key-lost", Lost(reason="its process died", kind="died", attempts=2))
    _write_index(place, named)
    about = {
        "suite_id": "id-of-demo", "name": "demo", "outcome": "FAILED", "code": "c0de", "versions": {"lockstep": "0"},
        "fingerprints": {"somewhere/market.duckdb": "da7a"},
        "manifest": {"name": "demo", "base": "base.yaml", "workers": 7, "search": {"method": "grid", "of": None}},
    }  # fmt: skip
    (place / "suite.json").write_text(json.dumps(about), encoding="utf-8")
    return place


def _write_index(place: Path, named: Sequence[tuple[RunAnswer, Mapping[str, Any]]]) -> None:
    entries: list[dict[str, Any]] = []
    for position, (answer, labels) in enumerate(named):
        entry = {
            "position": position, "name": f"run-{position}", "labels": dict(labels), "status": answer.outcome,
            "key": answer.key, "error": answer.error or None, "run_id": answer.run_id, "digest": answer.digest,
            "folder": answer.folder if answer.outcome == "COMPLETED" else None, "fingerprint": "da7a", "artifacts": {},
        }  # fmt: skip
        if answer.outcome != "COMPLETED":
            entry["again"] = ["--mode", "backtest", "--config", "base.yaml", "--set", "strategies.0.params.fast=3"]
        entries.append(entry)
    entries.append(
        {
            "position": len(named), "name": "lost <b>", "labels": {"fast": 4}, "status": "LOST", "key": "key-lost",
            "error": "its process died (2 attempts)", "run_id": None, "digest": None, "folder": None,
            "fingerprint": None, "artifacts": {}, "again": ["--mode", "backtest", "--config", "base.yaml"],
        }
    )  # fmt: skip
    index = {"suite_id": "id-of-demo", "name": "demo", "outcome": "FAILED", "runs": entries}
    (place / "index.json").write_text(json.dumps(index), encoding="utf-8")
