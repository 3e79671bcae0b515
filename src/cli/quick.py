"""`--data FILE --use STRATEGY`: from a file of bars to a first result without writing a configuration.

The file is imported into a store of its own and a configuration is made in memory, with assumptions that are printed.
Runs in the main thread.
"""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from src.cli.ask import plan_import, show_report
from src.cli.output import Output
from src.core.config_file import ConfigDocument, parse_config
from src.core.errors import ConfigError
from src.core.program import program
from src.core.timeframe import format_duration, parse_timeframe
from src.data.importing import ImportAnswers, ImportPlan, ImportReport, run_import
from src.data.store import HistoricalDataStore
from src.strategies import load_strategy

__all__ = ["quick_document"]

#: Costs and leverage assumed for each class of instrument: round figures of an ordinary account, not of any venue.
_ASSUMED: dict[str, dict[str, Any]] = {
    "crypto": {"leverage": 1, "spread_percent": 0.02, "commission_percent": 0.1, "slippage_percent": 0.01},
    "fx": {"leverage": 30, "spread_percent": 0.01, "commission_percent": 0.003, "slippage_percent": 0.002},
    "equity": {"leverage": 1, "spread_percent": 0.02, "commission_percent": 0.01, "slippage_percent": 0.01},
}
_BALANCE = 10_000
_EQUITY_PERCENT = 90  # the rest pays for costs and for a price that moves before the fill


def quick_document(
    data: Path, use: str, answers: ImportAnswers, overrides: list[str], save: Path | None, out: Output
) -> ConfigDocument:
    """Import `data` and make a configuration that runs the strategy over all of it.

    Args:
        use: a strategy's name, or `file.py:Class` with a path relative to the working directory.
        save: where to keep the configuration; nothing that exists is overwritten.

    Raises:
        ConfigError: the strategy cannot be loaded, a question is open and nobody can be asked, `save` exists.
        DataError: the file has a row that cannot be right.
    """
    here = Path.cwd()
    cls = load_strategy(use, here).cls
    if save is not None and save.exists():
        raise ConfigError(f"expected a new file for --save-config, found {save}; choose another name or delete it")
    plan = plan_import(data, answers, out)
    _refuse_open_questions(plan, data, use)
    plan.require_complete()  # ticks are no bars
    store = here / "data" / f"quick-{_plain_name(data.stem)}.duckdb"
    report = _import_afresh(plan, store)
    show_report(report, Path(os.path.relpath(store, here)), out)
    folder = here if save is None else save.resolve().parent
    values = _values(report, _relative_use(use, here, folder), _own_timeframe(cls.timeframe, report), folder, store)
    text = yaml.safe_dump(values, sort_keys=False)
    document = parse_config(text, save.name if save else f"the configuration for {data.name}", folder, overrides)
    _show_assumptions(document, out)
    if save is not None:
        _write(save, document)
        out.say(f"configuration written to {save}; run it again with --config {save}")
    else:
        out.say("keep this configuration with --save-config NAME.yaml")
    return document


def _refuse_open_questions(plan: ImportPlan, data: Path, use: str) -> None:
    if plan.questions:
        asked = "\n  ".join(f"--{question.key}: {question.sentence}" for question in plan.questions)
        words = plan.command.partition(" data import ")[2]
        raise ConfigError(
            f"{data} does not say everything; please add\n  {asked}\n"
            f"The whole command, to be checked before it is pasted:\n"
            f"  {program()} --mode backtest --use {shlex.quote(use)} --data {words}",
            questions=[question.key for question in plan.questions],
        )


def _import_afresh(plan: ImportPlan, store: Path) -> ImportReport:
    """Import into a new store and let it take the place of the one of an earlier run of the same file."""
    fresh = store.with_name(f"{store.stem}.{os.getpid()}.new.duckdb")
    try:
        with HistoricalDataStore(fresh, private=True) as opened:
            report = run_import(plan, opened)
        fresh.replace(store)
    finally:
        fresh.unlink(missing_ok=True)
    return report


def _values(report: ImportReport, use: str, timeframe: str | None, folder: Path, store: Path) -> dict[str, Any]:
    assumed = dict(_ASSUMED[report.kind])
    leverage = assumed.pop("leverage")
    currency = report.instrument.get("currency", "USD")
    strategy: dict[str, Any] = {"use": use} if timeframe is None else {"use": use, "timeframe": timeframe}
    return {
        "name": _plain_name(report.symbol),
        "account": {"type": "margin", "currency": currency, "balance": _BALANCE, "leverage": leverage},
        "instruments": {report.symbol: {**report.instrument, "currency": currency}},
        "symbols": [report.symbol],
        "strategies": [strategy],
        "risk": {"size": {"equity_percent": _EQUITY_PERCENT}},
        "backtest": {
            "data": {"source": "store", "store": _relative(store, folder)},
            "runs": _relative(Path.cwd() / "runs", folder),
            "costs": {**assumed, "latency": "0s"},
        },
    }


def _own_timeframe(declared: str, report: ImportReport) -> str | None:
    """The file's timeframe where the strategy asks for a finer one than there is."""
    return format_duration(report.timeframe_ns) if parse_timeframe(declared) < report.timeframe_ns else None


def _show_assumptions(document: ConfigDocument, out: Output) -> None:
    values = document.values
    costs = ", ".join(f"{key} {value}" for key, value in values["backtest"]["costs"].items())
    account, size = values["account"], values["risk"]["size"]
    out.say(
        f"assumed: {account['balance']:,} {account['currency']} on a {account['type']} account, leverage "
        f"{account.get('leverage', 1)}, size {size}"
    )
    out.say(f"assumed costs: {costs}; change one with --set backtest.costs.commission_percent=0.04")


def _write(save: Path, document: ConfigDocument) -> None:
    text = yaml.safe_dump(document.values, sort_keys=False)
    try:
        save.parent.mkdir(parents=True, exist_ok=True)
        save.write_text(f"# Account, size and costs are assumptions: write your own.\n{text}", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"expected to write the configuration to {save}, found: {error.strerror or error}") from None


def _relative_use(use: str, here: Path, folder: Path) -> str:
    file, separator, name = use.rpartition(":") if not use.endswith(".py") else (use, "", "")
    return use if ".py" not in use else f"{_relative(here / file, folder)}{separator}{name}"


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _plain_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:40] or "data"
