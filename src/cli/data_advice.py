"""What mends each finding of `data check`: sentences with commands that can be pasted as they are.

Pure; any thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from src.cli.options import DEFAULT_STORE
from src.core.program import command
from src.core.timeframe import format_duration
from src.data.faults import Fault
from src.data.healing import BEYOND_MENDING
from src.data.mirror import Spoiled, mirror_folder
from src.data.mirror_file import place_of, symbol_at
from src.data.stored import SeriesInfo
from src.data.tape_check import TapeReport

__all__ = ["Finding", "advice_on", "mirror_words", "on_store"]

#: What only a copy of the series can tell: healing does not look at it.
_OF_THE_COPY = {"changed", "lost"}
# What comes right by itself where lost and changed bars are put back.
_RIGHT_WITH_THE_COPY = {*_OF_THE_COPY, "miscounted", "duplicate", "order"}
_WITHOUT_NUMBERS = {"not_finite", "non_positive"}
_EXCHANGE = "ccxt:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a check found about one series.

    Attributes:
        info: the series as the store lists it; of one that is gone, as its copy says, with no bars.
        faults: what is wrong with it.
        bars: how many rows it has.
        mirrored: whether it was compared with a whole copy.
    """

    info: SeriesInfo
    faults: Sequence[Fault]
    bars: int
    mirrored: bool

    @property
    def codes(self) -> set[str]:
        """What is wrong with it."""
        return {fault.code for fault in self.faults}

    @property
    def from_copy(self) -> bool:
        """Whether something of it comes back from the copy."""
        return self.mirrored and bool(self.codes & _OF_THE_COPY)

    @property
    def to_heal(self) -> set[str]:
        """What is wrong with it once the copy has given back what it can."""
        if not self.from_copy:
            return self.codes - _OF_THE_COPY
        given = {fault.open_ns for fault in self.faults if fault.code in _OF_THE_COPY}
        # No copy holds a number that is none.
        left = {fault.code for fault in self.faults if not (fault.code == "not_finite" and fault.open_ns in given)}
        return left - _RIGHT_WITH_THE_COPY


def on_store(store: Path, *words: str) -> str:
    """The command `data WORDS` on this store, as it has to be typed."""
    place = () if store == DEFAULT_STORE else ("--store", store.as_posix())
    return command("data", *words, *place)


def mirror_words(store: Path, mirror: Path) -> tuple[str, ...]:
    """The option that names the mirror, where it does not lie beside the store."""
    return () if mirror == mirror_folder(store) else ("--mirror", mirror.as_posix())


def advice_on(
    findings: Sequence[Finding], tapes: Sequence[TapeReport], *, store: Path, mirror: Path, symbol: str | None,
    spoiled: Sequence[Spoiled],
) -> list[str]:  # fmt: skip
    """A sentence for each thing to do, in the order in which it is to be done; none when all is sound.

    Nothing that is advised before something else is needed by it, and nothing takes a series or a copy away that
    could still be wanted: a command that fails leaves all as it was.

    Args:
        findings: every series that was checked.
        tapes: every tape that was checked.
        mirror: the folder that the series were compared with.
        symbol: the one that the check was for; None for all.
        spoiled: the files of the mirror that are damaged or missing.
    """
    only = () if symbol is None else (symbol,)
    said = _of_copied([one for one in findings if one.from_copy], store, mirror)
    codes: set[str] = set().union(*(one.to_heal for one in findings))
    if codes - set(BEYOND_MENDING):
        again = on_store(store, "heal", *only)
        said.append(f"`{again}` mends what can be mended; with --dry-run it shows it first")
    if codes & set(BEYOND_MENDING):
        asked = {one.info.source for one in findings if one.to_heal & _WITHOUT_NUMBERS}
        said += [
            f"`{on_store(store, 'heal', *only, '--source', source)}` asks for the numbers of bars that have none"
            for source in sorted(asked)
            if source.startswith(_EXCHANGE)
        ]
        said.append(
            f"`{on_store(store, 'heal', *only, '--drop')}` takes out bars without numbers, without a place of their "
            f"own, or not closed yet; that leaves holes for a sync or an import to fill"
        )
    for tape in tapes:
        if not tape.is_sound:
            again = on_store(store, "delete", tape.symbol, "--tape", tape.kind, "--yes")
            said.append(f"a tape is not mended: `{again}` takes it out, then import or sync it anew")
    return said + _of_spoiled(spoiled, findings, store, mirror, only)


def _of_copied(copied: Sequence[Finding], store: Path, mirror: Path) -> list[str]:
    """How a series becomes what its copy is, and how the copy becomes what the series is."""
    if not copied:
        return []
    back = [
        on_store(
            store, "import", mirror.as_posix(), "--symbol", one.info.symbol, "--timeframe",
            format_duration(one.info.timeframe_ns), "--price", one.info.price_side, "--replace",
        )
        for one in copied
    ]  # fmt: skip
    said = [
        f"bars that were changed or lost come back from the mirror with {', '.join(f'`{words}`' for words in back)}; "
        f"bars that only the store has stay"
    ]
    for symbol in dict.fromkeys(one.info.symbol for one in copied):
        own = [one for one in copied if one.info.symbol == symbol]
        prune = () if all(one.bars for one in own) else ("--prune",)
        meant = [on_store(store, "export", symbol, *mirror_words(store, mirror), *prune)]
        if any("miscounted" in one.codes for one in own):
            meant.insert(0, on_store(store, "heal", symbol))
        words = ", then ".join(f"`{one}`" for one in meant)
        said.append(f"if what happened to {symbol} was meant, {words} makes the mirror as the store is instead")
    return said


def _of_spoiled(
    spoiled: Sequence[Spoiled], findings: Sequence[Finding], store: Path, mirror: Path, only: tuple[str, ...]
) -> list[str]:
    """How files of the mirror that cannot be read are written anew, or go where no series stands behind them."""
    place = mirror_words(store, mirror)
    there = {place_of(one.info.symbol, one.info.timeframe_ns, one.info.price_side) for one in findings if one.bars}
    files = [one.file for one in spoiled if one.file is not None]
    anew: set[tuple[str, ...]] = {(symbol_at(file),) for file in files if file in there}
    if len(files) < len(spoiled):  # the list itself, which any export writes
        anew = {only}
    said = [
        f"the mirror {mirror} is not whole: once the store is right, `{on_store(store, 'export', *words, *place)}` "
        f"writes it anew"
        for words in sorted(anew)
    ]
    for symbol in sorted({symbol_at(file) for file in files if file not in there}):
        again = on_store(store, "export", symbol, *place, "--prune")
        said.append(
            f"the store has no series behind a damaged or missing file of {symbol} in the mirror {mirror}, so nothing "
            f"can write it anew; `{again}` takes it out of the mirror"
        )
    return said
