"""What the command `suite` says and keeps where it cannot go on; its runs are made in this process."""

import json
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import pytest

from src.cli.app import main
from src.research.suite import suite as suite_module
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
    made, others = Here(), suite_module.executor_for
    monkeypatch.setattr(
        suite_module, "executor_for",
        lambda name, *words, **named: made if name == "processes" else others(name, *words, **named),
    )  # fmt: skip
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
    here.interrupted_at = 1
    assert "interrupted after 1 of 3 runs" in told(
        capsys, path, "--set", "product.params.fast=[3, 4, 5]", "--workers", "2", "--resume"
    )[2]  # fmt: skip
    here.interrupted_at = None
    code, found, _ = told(capsys, path, "--set", "product.params.fast=[3, 4, 5]", "--resume")
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


def test_a_run_that_lost_a_symbol_says_why(tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]) -> None:
    """A degraded run did not end by an error, and is not told without a reason."""
    path = write(tmp_path, 'sample: 0\nproduct: {strategies: [{use: "bots.py:Bad", timeframe: 5m}]}')
    (tmp_path / "bots.py").write_text(
        "from src.core.strategy import BarStrategy\n\n\nclass Bad(BarStrategy):\n    timeframe = '5m'\n\n"
        "    def on_bar(self, bar):\n        if self.symbol == 'BTCUSDT':\n            raise ValueError('no mood')\n"
    )

    code, found, _ = told(capsys, path, "--set", "product.set={on_error: [stop_symbol]}")

    assert (code, found["statuses"]) == (1, {"DEGRADED": 1})
    assert "stopped trading BTCUSDT: " in found["failures"]["run-0000"]
