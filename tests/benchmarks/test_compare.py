"""A ratio is a median over pairs of runs, and there is none between programs that did different work."""

import sys
from pathlib import Path

import pytest

from benchmarks import compare
from benchmarks.compare import ComparisonFailed, Row

PAIR = compare.PAIRS[0]


def row(speed: float, *, trades: int = 11_099, equity: float = 990_044.149680) -> Row:
    """What a program reports of W1."""
    return {"bars_per_s": speed, "trades": trades, "final_equity": equity}


def program(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(text, encoding="utf-8")
    return path


def test_the_report_is_the_median_of_the_ratios_of_neighbouring_runs() -> None:
    """Each round gives one ratio of its own two runs, and the report their median beside all figures."""
    rounds = [(row(30), row(10)), (row(10), row(10)), (row(100), row(50))]

    found = compare.report({PAIR.key: rounds}, rounds=3, runtime="threads")

    assert found == {
        "w1_over_backtesting": 2.0,
        "rounds": 3,
        "runtime": "threads",
        "figures": {
            "w1_over_backtesting": {
                "ratios": [3.0, 1.0, 2.0],
                "ours": [row(30), row(10), row(100)],
                "theirs": [row(10), row(10), row(50)],
            }
        },
    }


@pytest.mark.parametrize("other", [row(1, trades=11_098), row(1, equity=990_044.149682)])
def test_other_work_than_the_documented_one_is_refused(other: Row) -> None:
    """One entry or two units of the sixth decimal are enough to make a comparison worthless."""
    compare.check_same_work("W1", (row(1), row(1, equity=990_044.149681)), whole=True)

    with pytest.raises(ComparisonFailed, match="did not do the same work"):
        compare.check_same_work("W1", (row(1), other), whole=True)


def test_shortened_runs_are_held_against_each_other() -> None:
    """With fewer bars there is no documented result, but both programs must still agree."""
    short = row(1, trades=3, equity=999_990.5)

    compare.check_same_work("W1", (short, short), whole=False)

    with pytest.raises(ComparisonFailed, match="Expected 3 entries"):
        compare.check_same_work("W1", (short, row(1, trades=4, equity=999_990.5)), whole=False)


def test_the_json_line_of_a_program_is_found_among_others(tmp_path: Path) -> None:
    """A program may print other lines before its JSON object."""
    chatty = program(tmp_path / "chatty.py", "print('hello'); print('{\"trades\": 3}')")

    assert compare.run_one([sys.executable, str(chatty)]) == {"trades": 3}


def test_a_program_that_fails_is_named_with_what_it_said(tmp_path: Path) -> None:
    """The end of its standard error tells why there is no figure."""
    broken = program(tmp_path / "broken.py", "raise SystemExit('no such workload')")

    with pytest.raises(ComparisonFailed, match=r"(?s)broken\.py, found 0 and exit code 1.*no such workload"):
        compare.run_one([sys.executable, str(broken)])


def test_a_given_interpreter_is_taken_and_a_wrong_one_refused(tmp_path: Path) -> None:
    """The runs start in another folder, so the path becomes absolute; what is no program is refused at once."""
    assert compare.interpreter(PAIR, sys.executable) == sys.executable

    with pytest.raises(ComparisonFailed, match=r"Expected a Python with backtesting==0\.6\.6, found no program"):
        compare.interpreter(PAIR, str(tmp_path / "python"))
