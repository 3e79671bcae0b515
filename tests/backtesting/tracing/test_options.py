"""`--trace` and `--stats` on the command line: the file, the table, the JSON and `timing.json`."""

import json
from pathlib import Path
from typing import Any

import pytest

from src.cli.app import main
from src.core.errors import ConfigError
from tests.cli.small import CONFIG


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A day of one symbol, in a folder of its own."""
    path = tmp_path / "project" / "small.yaml"
    path.parent.mkdir()
    path.write_text(CONFIG, encoding="utf-8")
    return path


def backtest(config: Path, *words: str) -> int:
    """A backtest of the small configuration, in fibers."""
    return main(["--mode", "backtest", "--config", str(config), "--set", "backtest.runtime=fibers", *words])


def timing_of(value: dict[str, Any]) -> dict[str, Any]:
    """The stored `timing.json` of a run that was printed as JSON."""
    text = (Path(value["folder"]) / "timing.json").read_text(encoding="utf-8")
    stored: dict[str, Any] = json.loads(text)
    return stored


@pytest.mark.slow
def test_counts_are_always_stored_and_readings_only_when_asked_for(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same run again with `--stats` has the same digest and id, and renews the stored timing."""
    backtest(config, "--json")
    plain = json.loads(capsys.readouterr().out)
    before = timing_of(plain)
    backtest(config, "--json", "--stats")
    measured = json.loads(capsys.readouterr().out)
    after = timing_of(measured)

    assert [plain[key] for key in ("run_id", "digest", "folder")] == [
        measured[key] for key in ("run_id", "digest", "folder")
    ]
    assert set(before["turns"]) == {"monitor:positions", "worker:BTCUSDT"}
    assert sum(before["turns"].values()) == plain["turns"]
    assert (before["steps"], "threads" in before) == (plain["steps"], False)
    assert after["threads"] == measured["timing"]["threads"]
    assert after["turns"] == before["turns"]


@pytest.mark.slow
def test_the_statistics_have_every_promised_field(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Turns, busy, waiting, longest turn and its instant, shares, hand-over median and p99."""
    backtest(config, "--json", "--stats")
    value = json.loads(capsys.readouterr().out)
    threads = value["timing"]["threads"]
    worker = threads["participants"]["worker:BTCUSDT"]

    assert set(worker) == {
        "turns", "busy_s", "waiting_s", "step_s", "lock_wait_s", "longest_turn_s", "longest_turn_at", "overruns",
        "shares",
    }  # fmt: skip
    assert set(worker["shares"]) == {"bot", "strategy", "broker", "hand_over"}
    assert set(threads["hand_over"]) == {"count", "seconds", "median_us", "p99_us"}
    assert worker["turns"] == value["timing"]["turns"]["worker:BTCUSDT"]
    assert 0 < worker["busy_s"] < threads["elapsed_s"]
    assert worker["longest_turn_at"].startswith("2024-01-0")
    assert 0 < threads["shares"]["strategy"] < 1


@pytest.mark.slow
def test_stats_prints_a_table_and_the_hand_overs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each thread; without the option there is none."""
    backtest(config)
    assert "hand-over" not in capsys.readouterr().out
    backtest(config, "--stats")
    out = capsys.readouterr().out

    header = next(line for line in out.splitlines() if line.startswith("thread"))
    assert header.split()[:3] == ["thread", "turns", "busy"]
    assert [line.split()[0] for line in out.splitlines() if line.startswith(("monitor:", "worker:"))] == [
        "monitor:positions",
        "worker:BTCUSDT",
    ]
    assert "hand-over median" in out


@pytest.mark.slow
def test_trace_writes_a_file_that_names_the_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says where it is; the run's digest is what it is without."""
    backtest(config, "--json")
    plain = json.loads(capsys.readouterr().out)
    place = tmp_path / "trace.json"
    code = backtest(config, "--json", "--trace", str(place))
    out, err = capsys.readouterr()
    value = json.loads(out)
    trace = json.loads(place.read_text(encoding="utf-8"))

    assert (code, value["digest"], value["run_id"]) == (0, plain["digest"], plain["run_id"])
    assert f"{place}: " in err
    assert trace["traceEvents"][0]["args"]["name"] == f"Lockstep {value['run_id']}"
    assert trace["otherData"]["turns"] == value["turns"]
    assert list(tmp_path.glob(".trace*")) == []


def test_a_trace_that_cannot_be_written_is_refused_before_the_run(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and a sentence; there is no run folder and no market afterwards."""
    ends = []
    for place in (tmp_path, tmp_path / "absent" / "trace.json"):
        code = backtest(config, "--trace", str(place))
        ends.append((code, "--trace: expected a file that can be written" in capsys.readouterr().err))

    assert ends == [(2, True), (2, True)]
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.slow
def test_a_run_that_turns_out_to_be_stored_otherwise_still_leaves_its_trace(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """When determinism breaks, the trace is wanted most."""
    backtest(config, "--json")
    manifest = Path(json.loads(capsys.readouterr().out)["folder"]) / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(json.loads(text)["digest"], "0" * 64), encoding="utf-8")
    code = backtest(config, "--trace", str(tmp_path / "trace.json"))

    assert code == 4
    assert json.loads((tmp_path / "trace.json").read_text(encoding="utf-8"))["otherData"]["turns"] > 0


@pytest.mark.slow
def test_a_trace_that_fails_at_the_end_is_an_error_of_its_own(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run is stored all the same."""

    def full(*_: object, **__: object) -> int:
        raise ConfigError("expected room for the trace; the run itself is not affected")

    monkeypatch.setattr("src.cli.threads.write_trace", full)
    code = backtest(config, "--trace", str(tmp_path / "trace.json"))

    assert (code, "the run itself is not affected" in capsys.readouterr().err) == (2, True)
    assert len([path for path in (config.parent / "runs").glob("*/") if not path.name.startswith(".")]) == 1
