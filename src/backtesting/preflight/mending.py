"""The commands that mend what preflight finds, as they are pasted. Pure but for a look at the current folder."""

import datetime as dt
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from src.backtesting.config import AcceptedGapSection
from src.backtesting.preflight.asking import Askable
from src.core.bars import BarSeries
from src.core.config_file import ConfigDocument
from src.core.program import program_words
from src.core.timeframe import DAY_NS, SECOND_NS, format_duration, format_instant
from src.data.windows import Window

__all__ = ["Mender", "hours_text", "instant_text"]

#: What stands for a reason that only the owner of the data can give; a configuration that still has it is refused.
_NO_REASON = "..."


class Mender:
    """Writes commands about one configuration and its store.

    Args:
        document: the configuration; commands that need a file do without one when it has none.
        store: the file of the store, None when bars come from memory.
        askable: what asking a source again can bring.
    """

    def __init__(self, document: ConfigDocument, store: Path | None, askable: Askable) -> None:
        file = document.folder / document.name
        self._config = ["--config", _here(file)] if file.is_file() else []
        self._overrides = document.overrides
        self._store = store
        self._askable = askable

    def setting(self, values: Mapping[str, str]) -> str:
        """The check of the configuration with more overrides, by key."""
        kept = [word for word in self._overrides if word.partition("=")[0].strip() not in values]
        kept += [f"{key}={value}" for key, value in values.items()]
        sets = [part for word in kept for part in ("--set", word)]
        return shlex.join([*program_words(), "preflight", *self._config, *sets])

    def accepting(self, accepted: Sequence[AcceptedGapSection], symbol: str, holes: Sequence[tuple[int, int]]) -> str:
        """The check with more accepted holes, from and to in nanoseconds; the reason is left to the owner."""
        entries = [(one.symbol, one.from_ns, one.to_ns, one.reason) for one in accepted]
        entries += [(symbol, from_ns, to_ns, _NO_REASON) for from_ns, to_ns in holes]
        texts = [
            "{" f"symbol: {json.dumps(name)}, from: {json.dumps(instant_text(a))}, to: {json.dumps(instant_text(b))}, "
            f"reason: {json.dumps(reason)}" "}"
            for name, a, b, reason in entries
        ]  # fmt: skip
        return self.setting({"backtest.data.accept_gaps": f"[{', '.join(texts)}]"})

    def syncing(self, base: BarSeries, source: str, windows: Sequence[Window]) -> str:
        """What asks for some windows of a series; empty when its source cannot be asked or has answered them all.

        The source that the configuration names is asked as it says, any other exchange for whole days.
        """
        left = self._unanswered(base, source, windows)
        if not left or self._store is None:
            return ""
        if self._config and self._askable.is_by_run(base.symbol, source, left):
            return f"{self.setting({})} --sync"
        if not source.startswith("ccxt:"):
            return ""
        start, end = _day(left[0][0]), _day(left[-1][1] + DAY_NS - 1)
        return shlex.join(
            [*program_words(), "data", "sync", "--source", source, "--symbols", base.symbol,
             "--timeframes", format_duration(base.timeframe_ns), "--start", start, "--end", end,
             "--store", _here(self._store)]
        )  # fmt: skip

    def syncing_run(self, symbol: str) -> str:
        """What asks the configured source for the bars of a symbol that are not there at all, or without one of any."""
        return f"{self.setting({})} --sync" if self._config and self._askable.has_more(symbol) else ""

    def count_answered(self, base: BarSeries, source: str, holes: Sequence[Window]) -> int:
        """How many holes of a series its source was asked for and has no bars in."""
        left = self._unanswered(base, source, holes)
        return sum(all(stop_ns <= a or b <= begin_ns for begin_ns, stop_ns in left) for a, b in holes)

    def _unanswered(self, base: BarSeries, source: str, windows: Sequence[Window]) -> list[Window]:
        return self._askable.unanswered((base.symbol, base.timeframe_ns, source, base.price_side), windows)

    def healing(self) -> str:
        """The repair of the whole store; empty without one."""
        return "" if self._store is None else shlex.join(
            [*program_words(), "data", "heal", "--store", _here(self._store)]
        )  # fmt: skip

    def importing(self, symbol: str) -> str:
        """The import of a file that the owner has to name, of whatever symbol without one; empty without a store."""
        if self._store is None:
            return ""
        named = ["--symbol", symbol] if symbol else []
        return shlex.join([*program_words(), "data", "import", "FILE", *named, "--store", _here(self._store)])


def instant_text(instant_ns: int) -> str:
    """`2019-05-03 04:00:00Z`, or the bare date of a midnight."""
    return _day(instant_ns) if instant_ns % DAY_NS == 0 else format_instant(instant_ns)


def hours_text(duration_ns: int) -> str:
    """`3h 8m`, the two largest units that count; durations below a second as they are."""
    if duration_ns < SECOND_NS:
        return format_duration(duration_ns)
    left, words = duration_ns // SECOND_NS, []
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count:
            words.append(f"{count}{unit}")
    return " ".join(words[:2])


def _day(instant_ns: int) -> str:
    return (dt.date(1970, 1, 1) + dt.timedelta(days=instant_ns // DAY_NS)).isoformat()


def _here(path: Path) -> str:
    """The path as somebody in the current folder types it: from there when it lies below, else in full."""
    full = Path(os.path.abspath(path))
    here = Path.cwd()
    return (full.relative_to(here) if full.is_relative_to(here) else full).as_posix()
