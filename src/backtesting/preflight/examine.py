"""Preflight of a whole configuration: costs, coverage and the bars of all symbols, read once and handed on to the run.

Called by one thread, before a run begins. Everything that is wrong is found in one go; a run that is refused has
written nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from src.backtesting.account_data import conversion_symbols
from src.backtesting.config import BacktestConfig
from src.backtesting.generated import BarOpener
from src.backtesting.loading import market_of
from src.backtesting.newcomers import DataNeeds, Judge
from src.backtesting.preflight.asking import Askable
from src.backtesting.preflight.checks import Demand, Subject, allowance_of, examine_series, examine_values
from src.backtesting.preflight.mending import Mender
from src.backtesting.preflight.report import ERROR, Finding, PreflightReport, SeriesReport
from src.brokers.simulated import Costs
from src.brokers.simulated.costs_section import costs_of
from src.core.bars import BarSeries
from src.core.calendars import calendar_named
from src.core.config_file import ConfigDocument
from src.core.errors import InternalError, PreflightError
from src.core.timeframe import format_instant
from src.data.market import MarketData, Refusal

__all__ = ["Examined", "Examiner"]

_GENERATED = "synthetic"
#: What a source may mend by having more.
_ABSENT = ("no_data", "coverage")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What a run reads, and what was found in it.

    Attributes:
        start_ns, end_ns: the exact window.
    """

    costs: Costs
    market: MarketData
    start_ns: int
    end_ns: int
    report: PreflightReport


class Examiner:
    """Reads the data of one configuration and judges them.

    Args:
        judging: False skips the checks of bars; what cannot be loaded is refused all the same.
        synced: whether the configured source has just been asked, so that asking it again is no advice.
        opener: opens the bars; see `market_of`.
    """

    def __init__(
        self, config: BacktestConfig, document: ConfigDocument, needs: DataNeeds, *, judging: bool,
        synced: bool = False, opener: BarOpener | None = None,
    ) -> None:  # fmt: skip
        data = config.backtest.data
        self._config = config
        self._folder: Path = document.folder
        self._needs = needs
        self._judging = judging
        self._opener = opener
        self._generated = data.source == _GENERATED
        store = None if self._generated else document.folder / data.path
        self._mender = Mender(document, store, Askable(config, needs, store, synced=synced))

    def refuse_costs(self) -> None:
        """Refuse costs without a number, before any data are looked at.

        Raises:
            PreflightError: one has none; it carries a whole report.
        """
        try:
            costs_of(self._config.backtest.costs)
        except PreflightError as error:
            raise self.refusal(PreflightReport(), error) from None

    def examine(self) -> Examined:
        """Load and judge everything.

        Raises:
            PreflightError: something is wrong; it carries the whole report, see `PreflightReport.refusal`.
            ConfigError: a calendar does not know the time of the bars.
            DataError: the store is not what it must be.
        """
        report, costs, refused = PreflightReport(), None, list[Refusal]()
        try:
            costs = costs_of(self._config.backtest.costs)
        except PreflightError as error:
            report = report.joined(self._told(error))
        try:
            market, start_ns, end_ns = market_of(self._config, self._needs, self._folder, refused, self._opener)
        except PreflightError as error:
            raise report.joined(self._told(error)).refusal() from None
        for each in refused:
            report = report.joined(self._told(each.error, each.symbol))
        if self._judging:
            for symbol, bars in {each.symbol: each.bars for each in refused if each.bars is not None}.items():
                report = report.joined(examine_values(self._subject(symbol, bars, {}, "", start_ns, end_ns)))
            for symbol, base in market.base.items():
                derived = {length: series for (name, length), series in market.derived.items() if name == symbol}
                series, findings = self._judge(symbol, base, derived, market.sources[symbol], start_ns, end_ns)
                report = report.joined(findings, [series])
            report = report.joined([self._window(start_ns, end_ns, priced=costs is not None)])
        if report.errors:
            raise report.refusal()
        if costs is None:
            raise InternalError("costs are missing and were not refused")
        return Examined(costs=costs, market=market, start_ns=start_ns, end_ns=end_ns, report=report)

    def judge(self, end_ns: int) -> Judge | None:
        """Judges symbols that join on the way, whose bars end with the window; None when nothing is to be judged."""

        def wrong(
            symbol: str, base: BarSeries, derived: Mapping[int, BarSeries], source: str, from_ns: int
        ) -> Sequence[str]:
            _, findings = self._judge(symbol, base, derived, source, from_ns, end_ns)
            return [one.sentence for one in findings if one.severity == ERROR]

        return wrong if self._judging else None

    def refusal(self, report: PreflightReport, error: PreflightError) -> PreflightError:
        """The error of a run that is refused for a reason that came after the report."""
        return report.joined(self._told(error)).refusal()

    def _judge(
        self, symbol: str, base: BarSeries, derived: Mapping[int, BarSeries], source: str, start_ns: int, end_ns: int
    ) -> tuple[SeriesReport, list[Finding]]:
        subject = self._subject(symbol, base, derived, source, start_ns, end_ns)
        return examine_series(subject, self._config.backtest.data.accept_gaps)

    def _subject(
        self, symbol: str, base: BarSeries, derived: Mapping[int, BarSeries], source: str, start_ns: int, end_ns: int
    ) -> Subject:
        config = self._config
        calendar = calendar_named(config.instruments[symbol].calendar)
        demands = [
            Demand(strategy=strategy.instance, timeframe_ns=length, lookback=bars)
            for strategy, needed in zip(config.strategies, self._needs.demands, strict=True)
            if (strategy.symbols is None or symbol in strategy.symbols) and symbol not in conversion_symbols(config)
            for length, bars in needed.items()
        ]
        return Subject(
            base=base, derived=derived, source=source, generated=self._generated, calendar=calendar,
            allowance=allowance_of(config, symbol, calendar), demands=demands, start_ns=start_ns, end_ns=end_ns,
            mender=self._mender,
        )  # fmt: skip

    def _window(self, start_ns: int, end_ns: int, *, priced: bool) -> Finding:
        account, pairs = self._config.account.currency, conversion_symbols(self._config)
        foreign = f"profits in other currencies become {account} by {', '.join(pairs)}"
        words = (
            f"the window is {format_instant(start_ns)} to {format_instant(end_ns)}; "
            f"{'every cost has a number; ' if priced else ''}"
            f"{foreign if pairs else f'all profits arise in {account}, nothing has to be converted'}"
        )
        return Finding(severity="info", code="window", symbol="", sentence=words)

    def _told(self, error: PreflightError, symbol: str = "") -> list[Finding]:
        """A refusal of loading as findings; `symbol` is its own where it names none."""
        code, symbol = error.details.get("code", "no_data"), error.details.get("symbol", symbol)
        told = error.details.get("findings") or [
            {"code": code, "symbol": symbol, "sentence": text}
            for text in error.details.get("problems", [error.message])
        ]
        return [
            Finding(
                severity=ERROR, code=one["code"], symbol=one["symbol"], sentence=one["sentence"],
                mend=self._mend(one.get("settings") or error.details.get("settings"), one["code"], one["symbol"]),
            )
            for one in told
        ]  # fmt: skip

    def _mend(self, settings: Mapping[str, str] | None, code: str, symbol: str) -> str:
        asked = self._mender.syncing_run(symbol) if code in _ABSENT else ""
        if asked:
            return asked
        if settings:
            return self._mender.setting(settings)
        if code == "order":
            return self._mender.healing()
        return self._mender.importing(symbol) if symbol or code == "no_data" else ""
