"""What the command `suite` says and keeps where it cannot go on; its runs are made in this process."""

import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import duckdb
import pytest

from src.cli.app import main
from src.research.suite.executor import executor_for
from tests.research.suite.manifests import write

MANIFEST = "sample: 0\nproduct: {params: {fast: [3, 4]}}"


class Here:
    """An executor that makes one call after the other where it is; interrupted before the call of that number."""

    workers = 1
    interrupted_at: int | None = None
    calls = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        """Nothing was begun."""

    def begin(self) -> None:
        """Nothing to get ready."""

    def each(
        self, function: Callable[[Any], Any], items: Iterable[Any], on_done: Callable[[Any, Any], None],
        *, at_once: int | None = None,
    ) -> None:  # fmt: skip
        for item in items:
            if self.interrupted_at == self.calls:
                signal.raise_signal(signal.SIGINT)
            self.calls += 1
            on_done(item, function(item))


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    """The executor of every suite; another name than the manifest's is looked up as ever."""
    made = Here()
    monkeypatch.setattr(
        "src.research.suite.suite.executor_for",
        lambda name, *words, **named: made if name == "processes" else executor_for(name, *words, **named),
    )
    return made


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, Any, str]:
    """The exit code, the JSON object, and what people are told."""
    code = main(["suite", *map(str, words), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def records(folder: Path) -> list[Path]:
    """The records of all suites."""
    return sorted((folder / "runs" / "suites").glob("*/records.jsonl"))


@pytest.mark.parametrize("results", [".", "base.yaml", "suite.yaml/results.duckdb"])
def test_a_place_where_no_results_can_be_is_refused_before_any_run(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str], results: str
) -> None:
    """Nobody computes for hours for a file that cannot be written."""
    path = write(tmp_path, f"results: {results}\n{MANIFEST}")

    code, found, _ = told(capsys, path)

    assert (code, found["error"]["type"], here.calls) == (2, "DataError", 0)
    assert str(tmp_path) in found["error"]["message"]


def test_the_command_that_goes_on_after_an_interrupt_is_of_the_same_suite(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """Overrides make another suite of a manifest, so they are part of it; what was done is taken."""
    path = write(tmp_path, MANIFEST)
    here.interrupted_at = 1

    code, found, errors = told(capsys, path, "--set", "product.params.fast=[3, 4, 5]", "--workers", "2")

    assert (code, found["outcome"]) == (130, "INTERRUPTED")
    assert "interrupted after 1 of 3 runs" in errors
    assert f"suite {path} --set 'product.params.fast=[3, 4, 5]' --workers 2 --resume`" in errors
    words = (path, "--set", "product.params.fast=[3, 4, 5]", "--resume")
    assert "interrupted after 1 run of an earlier attempt; what is done is kept" in told(capsys, *words)[2]
    here.interrupted_at = None
    code, found, _ = told(capsys, *words)
    assert (code, found["known"], found["distinct"]) == (0, 1, 3)


def test_a_suite_that_cannot_begin_drops_nothing(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an earlier attempt has recorded stays until the runs are really made again."""
    path = write(tmp_path, MANIFEST)
    assert told(capsys, path)[0] == 0
    (kept,) = [one.read_bytes() for one in records(tmp_path)]

    for words in (("--executor", "ray"), ("--executor", "dask"), ("--set", "results=base.yaml")):
        assert told(capsys, path, *words)[0] == 2

    assert [one.read_bytes() for one in records(tmp_path)] == [kept]


def test_damaged_records_stand_in_the_way_of_nobody_who_begins_anew(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only `--resume` has to read them."""
    path = write(tmp_path, MANIFEST)
    assert told(capsys, path)[0] == 0
    (record,) = records(tmp_path)
    first, second = record.read_text().splitlines(keepends=True)
    record.write_text(first.replace("answer", "anser") + second)

    assert told(capsys, path, "--resume")[0] == 2
    assert told(capsys, path)[0] == 0


def test_a_suite_whose_folder_goes_away_ends_with_a_sentence(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody tidied up; that is no defect."""
    path = write(tmp_path, MANIFEST)
    whole = Here.each

    def tidied(self: Here, *words: Any, **named: Any) -> None:
        whole(self, *words, **named)
        for record in records(tmp_path):
            record.unlink()
            record.with_name(".lock").unlink()
            record.with_name("suite.json").unlink()
            record.parent.rmdir()

    monkeypatch.setattr(Here, "each", tidied)

    code, found, _ = told(capsys, path)

    assert (code, found["error"]["type"]) == (2, "DataError")
    assert "leave a suite's folder alone" in found["error"]["message"]


def test_results_that_another_program_holds_open_are_stored_by_resuming(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence says so, and no run is made again."""
    path = write(tmp_path, MANIFEST)
    with monkeypatch.context() as patched:
        patched.setattr("src.research.suite.results._write", _refused)
        code, found, _ = told(capsys, path)
    assert (code, here.calls) == (2, 2)
    assert "--resume stores them and makes no run again" in found["error"]["message"]

    code, found, _ = told(capsys, path, "--resume")

    assert (code, found["known"], here.calls) == (0, 2, 2)


def _refused(*given: Any) -> None:
    raise duckdb.IOException("Could not set lock on file")


def test_a_plan_over_several_stores_says_what_is_read_from_which(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same symbol of two markets is two rows; nothing is written where the runs would be."""
    path = write(tmp_path, "product: {set: {backtest.data.store: [market.duckdb], backtest.data.seed: [1, 2]}}")

    code, found, errors = told(capsys, path, "--plan")

    assert (code, len({each["store"] for each in found["union"]}), len(found["stores"])) == (0, 2, 2)
    assert {each["store"] for each in found["union"]} == set(found["stores"])
    assert "store" in next(line for line in errors.splitlines() if "timeframes" in line)
    assert not (tmp_path / "runs").exists()


def test_a_run_that_lost_a_symbol_says_why(tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    """A degraded run did not end by an error, and is not told without a reason."""
    path = write(tmp_path, 'sample: 0\nproduct: {strategies: [{use: "lone_mood.py:Bad", timeframe: 5m}]}')
    (tmp_path / "lone_mood.py").write_text(
        "from src.core.strategy import BarStrategy\n\n\nclass Bad(BarStrategy):\n    timeframe = '5m'\n\n"
        "    def on_bar(self, bar):\n        if self.symbol == 'BTCUSDT':\n            raise ValueError('no mood')\n"
    )

    code, found, _ = told(capsys, path, "--set", "product.set={on_error: [stop_symbol]}")

    assert (code, found["statuses"]) == (1, {"DEGRADED": 1})
    assert "stopped trading BTCUSDT: " in found["failures"]["run-0000"]
