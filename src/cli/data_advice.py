"""What mends each finding of `data check`: sentences with commands that can be pasted as they are.

Pure; any thread.
"""

from collections.abc import Sequence
from pathlib import Path

from src.cli.options import DEFAULT_STORE
from src.core.program import command
from src.core.timeframe import format_duration
from src.data.faults import Fault
from src.data.healing import BEYOND_MENDING
from src.data.mirror import mirror_folder
from src.data.stored import SeriesInfo
from src.data.tape_check import TapeReport

__all__ = ["advice_on", "on_store"]

#: What only a copy of the series can tell: healing does not look at it.
_OF_THE_COPY = {"changed", "lost"}
_WITHOUT_NUMBERS = {"not_finite", "non_positive"}
_EXCHANGE = "ccxt:"

Finding = tuple[SeriesInfo, Sequence[Fault]]


def on_store(store: Path, *words: str) -> str:
    """The command `data WORDS` on this store, as it has to be typed."""
    place = () if store == DEFAULT_STORE else ("--store", store.as_posix())
    return command("data", *words, *place)


def advice_on(
    findings: Sequence[Finding], tapes: Sequence[TapeReport], *, store: Path, mirror: Path, symbol: str | None,
    spoiled: bool,
) -> list[str]:  # fmt: skip
    """A sentence for each thing to do, in the order in which it is to be done; none when all is sound.

    Args:
        findings: every series that was checked, with what is wrong with it; a series that is gone as a whole has no
            bars.
        tapes: every tape that was checked.
        mirror: the folder that the series were compared with.
        symbol: the one that the check was for; None for all.
        spoiled: whether a file of the mirror is damaged or missing.
    """
    only = () if symbol is None else (symbol,)
    copied = [(info, faults) for info, faults in findings if _codes(faults) & _OF_THE_COPY]
    healed = [(info, faults) for info, faults in findings if not _codes(faults) & _OF_THE_COPY]
    said = _of_copied(copied, store, mirror, only)
    codes: set[str] = set().union(*(_codes(faults) for _, faults in healed))
    if codes - set(BEYOND_MENDING):
        again = on_store(store, "heal", *only)
        said.append(f"`{again}` mends what can be mended; with --dry-run it shows it first")
    if codes & set(BEYOND_MENDING):
        asked = {info.source for info, faults in healed if _codes(faults) & _WITHOUT_NUMBERS}
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
    if spoiled:
        again = on_store(store, "export", *_mirror_words(store, mirror))
        said.append(f"the mirror {mirror} is not whole: once the store is right, `{again}` writes it anew")
    return said


def _of_copied(copied: Sequence[Finding], store: Path, mirror: Path, only: tuple[str, ...]) -> list[str]:
    """How a series becomes what its copy is, and how the copy becomes what the series is."""
    if not copied:
        return []
    deletions = [
        on_store(
            store, "delete", info.symbol, "--timeframe", format_duration(info.timeframe_ns), "--price",
            info.price_side, "--yes",
        )
        for info, _ in copied if info.bars
    ]  # fmt: skip
    back = f"`{on_store(store, 'import', mirror.as_posix())}`"
    first = [f"`{deletion}`" for deletion in deletions]
    after = "; what came after the copy has to be synced or imported again" if first else ""
    meant = on_store(store, "export", *only, *_mirror_words(store, mirror))
    return [
        f"bars that were changed or lost come back from the mirror with {', then '.join([*first, back])}{after}",
        f"if the change was meant, `{meant}` makes the mirror anew",
    ]


def _mirror_words(store: Path, mirror: Path) -> tuple[str, ...]:
    return () if mirror == mirror_folder(store) else ("--mirror", mirror.as_posix())


def _codes(faults: Sequence[Fault]) -> set[str]:
    return {fault.code for fault in faults}
