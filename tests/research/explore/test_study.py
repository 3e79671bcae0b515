"""An exploration as a whole, over runs that are only told."""

from dataclasses import dataclass, field

import pytest

from src.core.journal import JournalRecord
from src.research.explore.diagnose import OUTSIDE, Choice, Race, Script, Seen
from src.research.explore.groups import Observed, Spread
from src.research.explore.report import as_dict, finding_lines, headline
from src.research.explore.schedules import Variant, command
from src.research.explore.study import MOST_RUNS, Exploration, Finding, explore

SYMBOLS = ("A", "B")
NAMES = ("worker:A", "worker:B")


def told(variant: Variant, result: str = "first", error: str = "", figure: float = 1.0) -> Observed:
    """A result by name."""
    outcome = "FAILED" if error else "COMPLETED"
    return Observed(
        variant=variant, digest=result, outcome=outcome, error=error, trades=2, profit=figure, drawdown_percent=None
    )


@dataclass
class TwoWorkers:
    """A laboratory in which the result is who goes first at the only instant."""

    runs: int = 0
    repeats: bool = True
    asked: list[Script] = field(default_factory=list)

    def run(self, script: Script) -> Seen:
        self.runs += 1
        self.asked.append(script)
        swapped = bool(script.moves) or script.schedule not in (None, "1:fifo") or script.symbols == ("B", "A")
        first = NAMES[int(swapped)]
        result = ("second" if swapped else "first") if self.repeats else f"{self.runs}"
        return Seen(
            key=(result, "COMPLETED", ""),
            records=[JournalRecord(0, first[-1], "refusal", first, ("book", "", ""))],
            deviations=((0, 0, 1),) if swapped and script.symbols is None else (),
            choices=(Choice(instant_ns=0, number=0, names=NAMES, index=int(swapped)),),
            replay="1:turns:0m@0.1" if swapped else "1:fifo",
        )


def found_by(lab: TwoWorkers, results: dict[str, Observed] | None = None, count: int = 4) -> Exploration:
    """An exploration in which everything but the written order gives the second result."""

    def observe(tried: list[Variant]) -> list[Observed]:
        named = results or {}
        return [
            told(variant) if variant.kind == "fifo" else named.get(variant.kind) or told(variant, "second", figure=5.0)
            for variant in tried
        ]

    return explore(SYMBOLS, count, 7, observe, lab)


def test_one_race_is_told_once_however_many_kinds_of_schedules_show_it() -> None:
    """Seeded, preemptive and other orders of the symbols all lead to the same two workers."""
    found = found_by(TwoWorkers())
    races = [finding.race for finding in found.findings]

    assert [(race.first, race.second, race.resource) for race in races if race] == [("worker:A", "worker:B", OUTSIDE)]
    assert len(races) == 1
    assert [group.numbers for group in found.groups] == [(0,), (1, 2, 3)]
    assert (found.profit, found.drawdown_percent) == (Spread(low=1.0, median=5.0, high=5.0), None)


def test_where_all_agree_nothing_is_run_again() -> None:
    """There is nothing to look for."""
    lab = TwoWorkers()
    found = explore(SYMBOLS, 5, 7, lambda tried: [told(variant) for variant in tried], lab)

    assert (found.agrees, found.findings, lab.runs) == (True, (), 0)


def test_a_written_order_that_does_not_repeat_itself_is_said_and_no_race_invented() -> None:
    """Then the order of turns is not what decides."""
    found = found_by(TwoWorkers(repeats=False))

    assert [finding.race for finding in found.findings] == [None]
    assert "something besides the order of turns" in found.findings[0].reason


def test_a_bot_that_is_not_deterministic_is_called_so_and_not_dependent_on_the_order() -> None:
    """In the sentence for people and in the one for programs, with where to look next."""
    found = found_by(TwoWorkers(repeats=False))
    value = as_dict(found, lambda variant: command("config.yaml", [], variant), 4)

    assert "depends on the order of turns" not in headline(found)
    assert "the bot is not deterministic" in headline(found)
    assert "verify` looks for" in headline(found)
    assert (value["headline"], value["repeats"]) == (headline(found), False)
    assert found_by(TwoWorkers()).repeats


@pytest.mark.parametrize(
    ("error", "digest", "words"),
    [("StalledThreadError: it hangs", "second", "hangs"), ("Lost: it died", "", "died")],
)
def test_a_run_that_hangs_or_dies_is_not_repeated_here(error: str, digest: str, words: str) -> None:
    """It would take the search with it; the other kinds are explained all the same."""
    lab = TwoWorkers()
    bad = told(Variant(kind="seeded", schedule="1:seeded:1"), digest, error)
    found = found_by(lab, {"seeded": bad})

    assert [script.schedule for script in lab.asked if script.schedule and "seeded" in script.schedule] == []
    assert words in found.findings[0].reason
    assert [finding.race is None for finding in found.findings] == [True, False]


def test_the_search_ends_when_it_has_taken_too_many_runs() -> None:
    """And says so."""
    found = found_by(TwoWorkers(runs=MOST_RUNS))

    assert {finding.reason for finding in found.findings} == {"not looked for: too many runs were spent already"}


def line(variant: Variant) -> str:
    """A line for a shell."""
    return command("c.yaml", ["a=1"], variant)


def test_the_report_tells_programs_and_people_the_same() -> None:
    """Each value for programs is in some line for people."""
    found = found_by(TwoWorkers())
    value = as_dict(found, line, 4)
    lines = "\n".join(text for finding in found.findings for text in finding_lines(found, finding, line))

    assert headline(found) == value["headline"] == "4 schedules, 2 results: the result depends on the order of turns"
    race = value["races"][0]
    shown = [*race["participants"], race["resource"], race["reproduce"], race["reproduce_reference"], race["instant"]]
    assert [text for text in shown if text not in lines] == []
    assert race["reproduce"].endswith("--set a=1 --set backtest.schedule=1:turns:0m@0.1")
    assert value["spread"]["profit"] == {"min": 1.0, "median": 5.0, "max": 5.0}


@pytest.mark.parametrize(("resource", "words"), [("slot", "race for the last slot"), (OUTSIDE, f"race for {OUTSIDE}")])
def test_what_they_raced_for_is_said_in_words(resource: str, words: str) -> None:
    """A limit has a last of it; state does not."""
    found = found_by(TwoWorkers())
    race = found.findings[0].race
    assert race is not None
    other = Race(
        first=race.first, second=race.second, resource=resource, instant_ns=None, difference=None,
        schedule=race.schedule, symbols=None, digest="d", twin_schedule="1:fifo", twin_symbols=None,
    )  # fmt: skip

    assert words in finding_lines(found, Finding(number=1, race=other), line)[0]
