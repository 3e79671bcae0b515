"""Runs that are stored by hand, so that a results database has something to hold."""

from pathlib import Path
from typing import Any

from src.backtesting.artifacts import write_run
from src.backtesting.identity import run_id
from src.backtesting.metrics import compute_metrics
from src.backtesting.result import Outcome
from src.core.errors import StrategyError
from src.research.suite.ports import RunAnswer
from src.research.suite.results import SuiteRow, SuiteRunRow, write_suite
from tests.backtesting.results.worlds import START_NS, World

SOURCES = {"AAA": "exchange", "BBB": "exchange"}


def inputs(chosen: dict[str, Any], *, start_ns: int = START_NS, **more: Any) -> dict[str, Any]:
    """What a run is identified by, as far as it matters here."""
    return {
        "changes": [], "code": "c0de", "configuration": chosen, "data_fingerprint": "da7a", "policy": "1:fifo",
        "seed": 7, "user_files": {}, "versions": {"lockstep": "0"}, "window": {"start_ns": start_ns}, **more,
    }  # fmt: skip


def world(*nets: float, days: float = 6.0, start_ns: int = START_NS, stop: float | None = None) -> World:
    """One trade a day that brings so much, marked at its end."""
    made = World(days=days, start_ns=start_ns)
    for day, net in enumerate(nets):
        made.trade(net, hours=day * 24 + 1, stop=stop)
        made.sample(day * 24 + 24, made.balance + made.realised)
    return made


def stored_run(
    runs: Path, chosen: dict[str, Any], *nets: float, outcome: Outcome = Outcome.COMPLETED,
    sources: dict[str, str] | None = None, start_ns: int = START_NS, stop: float | None = None, **more: Any,
) -> RunAnswer:  # fmt: skip
    """A run in the folder for runs, with what a worker would say of it."""
    error = StrategyError("Mine raised on bar 3", symbol="AAA") if outcome is Outcome.FAILED else None
    result = world(*nets, start_ns=start_ns, stop=stop).result(outcome=outcome, error=error)
    given = inputs(chosen, start_ns=start_ns, **more)
    identity = run_id(given)
    folder = write_run(
        result, run_id=identity, manifest={"inputs": given, "data_sources": sources or SOURCES}, runs_dir=runs,
        report=False,
    )  # fmt: skip
    figures = compute_metrics(result).as_dict()
    plain = {name: value for name, value in figures.items() if isinstance(value, (int, float, str))}
    return RunAnswer(
        key=f"key-{identity}", outcome=outcome.value, run_id=identity, digest=result.digest, folder=folder.name,
        error_type="StrategyError" if error else "", error=error.message if error else "", fingerprint="da7a",
        metrics=plain, timing={"task": 1.0},
    )  # fmt: skip


def listed(*named: tuple[RunAnswer, dict[str, Any]]) -> list[SuiteRunRow]:
    """The rows of a manifest that lists these runs with these labels."""
    return [
        SuiteRunRow(
            position=place, name=f"run-{place}", labels=tuple(labels.items()), run_id=answer.run_id,
            status=answer.outcome, error=answer.error,
        )
        for place, (answer, labels) in enumerate(named)
    ]  # fmt: skip


def stored_suite(path: Path, name: str, runs: Path, *named: tuple[RunAnswer, dict[str, Any]]) -> None:
    """A suite in the results database."""
    suite = SuiteRow(suite_id=f"id-of-{name}", name=name, outcome="COMPLETED")
    write_suite(path, suite, listed(*named), [answer for answer, _ in named], runs)
