"""How commands end: every exit code, and what stands on which stream. In this process, without a terminal."""

import json
import re
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from src.cli import app, run_command
from src.cli.app import main
from src.core.errors import PreflightError
from tests.cli.small import CONFIG


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A day of one symbol."""
    path = tmp_path / "small.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def backtest(config: Path, *words: str) -> int:
    """`--mode backtest` of the small configuration, in fibers, so that it takes a moment only."""
    return main(["--mode", "backtest", "--config", str(config), "--set", "backtest.runtime=fibers", *words])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--mode", "live", "--set", "live=null"], "default.yaml: expected a section live, found none"),
        (["--mode", "paper", "--data", "x.csv", "--use", "sma_cross"], "--data and --use are for backtests"),
        (["--mode", "bactest"], "--mode: expected backtest, paper, live, found 'bactest'; did you mean 'backtest'?"),
        (["--config", "x.yaml"], "expected --mode backtest, paper, live or one of the verbs"),
        (["dta", "list"], "no such verb: dta; did you mean 'data'?"),
        (["data", "lst"], "no such verb: lst; did you mean 'list'?"),
        (["--jsn", "--mode", "backtest"], "--json"),
        (["data", "import"], "expected FILE, a file of bars or ticks or a mirror, or --from-recording RUN"),
        (["data"], "Missing command"),
        (["--mode", "backtest", "--data", "x.csv"], "--data FILE and --use STRATEGY belong together"),
        (["--mode", "backtest", "--kind", "fx"], "need --data FILE and --use STRATEGY"),
        (["--mode", "backtest", "--data", "x.csv", "--use", "sma_cross", "--config", "y.yaml"], "found both"),
        (["--mode", "backtest", "--config", "absent.yaml"], "expected a configuration file at absent.yaml"),
        (["data", "list", "--store", "absent.duckdb"], "there is no data file absent.duckdb"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_usage_is_one_sentence_on_stderr_and_exit_code_2(
    words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Suggestions where a word is nearly right; stdout stays empty."""
    code = main(words)
    out, err = capsys.readouterr()

    assert (code, out, sentence in err) == (2, "", True), err
    assert err.startswith("error: ")


def test_no_arguments_print_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody has to know an option to learn the options."""
    code = main([])
    out, err = capsys.readouterr()

    assert (code, err) == (0, "")
    assert all(word in out for word in ("--mode", "--data", "init", "data", "Exit codes"))


def test_an_error_with_json_is_an_object_on_stdout(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads type, message and exit code; people still get the sentence."""
    code = backtest(config, "--set", "risk.sise=1", "--json")
    out, err = capsys.readouterr()
    found = json.loads(out)

    assert (code, found["exit_code"], found["error"]["type"]) == (2, 2, "ConfigError")
    assert "unknown key 'sise'" in found["error"]["message"]
    assert found["error"]["message"] in err


@pytest.mark.slow
def test_quiet_json_leaves_stderr_empty_and_stdout_to_the_object(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--quiet` the table goes to stderr, so that stdout is the object alone in both cases."""
    assert backtest(config, "--json", "--quiet") == 0
    quiet = capsys.readouterr()
    assert backtest(config, "--json") == 0
    loud = capsys.readouterr()

    assert quiet.err == ""
    assert json.loads(quiet.out)["digest"] == json.loads(loud.out)["digest"]
    assert "SYNTHETIC" in loud.err


@pytest.mark.slow
def test_open_shows_the_report_in_the_browser(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page that is opened is the one whose path is printed."""
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)

    assert backtest(config, "--open", "--json", "--quiet") == 0
    assert opened == [Path(json.loads(capsys.readouterr().out)["report"]).as_uri()]


@pytest.mark.slow
def test_another_digest_for_a_stored_run_ends_with_4(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stored run says otherwise, so one of the two is wrong, and that is said loudly."""
    assert backtest(config, "--json", "--quiet") == 0
    stored = Path(json.loads(capsys.readouterr().out)["folder"])
    manifest = stored / "manifest.json"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace(json.loads(text)["digest"], "0" * 64), encoding="utf-8")

    code = backtest(config, "--quiet")

    assert (code, "another outcome" in capsys.readouterr().err) == (4, True)
    assert [path.name for path in stored.parent.glob("*.determinism-*")] == [f"{stored.name}.determinism-1"]


@pytest.mark.slow
def test_zero_trades_are_said_loudly(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run without a trade is no quiet success."""
    assert (
        backtest(config, "--set", "strategies.0.params={fast: 199, slow: 200}", "--set", "strategies.0.timeframe=1h")
        == 0
    )
    assert "NO TRADES" in capsys.readouterr().out


def test_an_unexpected_error_is_one_sentence_and_keeps_its_traceback(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The traceback goes to a file that the sentence names; with `--debug` it is printed."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(run_command, "run_backtest", lambda *_, **__: 1 // 0)

    code = backtest(config)
    kept = capsys.readouterr().err
    debugged = backtest(config, "--debug")
    printed = capsys.readouterr().err
    (file,) = tmp_path.glob("lockstep-error-*.txt")

    assert (code, debugged) == (1, 1)
    assert (str(file) in kept, "Traceback" in kept) == (True, False)
    assert "Traceback" in file.read_text(encoding="utf-8")
    assert "Traceback" in printed


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (PreflightError("no bars"), 3)], ids=["interrupted", "preflight"]
)
def test_each_kind_of_end_has_its_exit_code(
    config: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """Whatever ends the run before it began."""

    def ends(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(run_command, "run_backtest", ends)

    assert backtest(config) == code


def test_a_run_under_another_schedule_says_what_repeats_it(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To people, to programs and in the manifest, as a value of `backtest.schedule`; the written order says nothing."""
    words = ["--set", "backtest.schedule=preemptive", "--set", "backtest.seed=7"]
    backtest(config, *words)
    people = capsys.readouterr().out
    backtest(config, *words, "--json")
    value = json.loads(capsys.readouterr().out)
    backtest(config, "--set", f"backtest.schedule={value['replay']}", "--json")
    again = json.loads(capsys.readouterr().out)
    backtest(config)
    in_order = capsys.readouterr().out
    manifest = json.loads((Path(value["folder"]) / "manifest.json").read_text(encoding="utf-8"))

    assert "schedule  --set backtest.schedule=1:preemptive:7\n" in people
    assert (value["schedule"], value["replay"], manifest["schedule"]) == ("1:preemptive:7",) * 3
    assert again["digest"] == value["digest"]
    assert "schedule  " not in in_order


def test_the_shares_of_a_run_add_up(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is in no other share has a name, too."""
    backtest(config, "--stats")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("shares of "))
    shares = [float(share) for share in re.findall(r"([\d.]+)%", line)]

    assert len(shares) == 6
    assert sum(shares) == pytest.approx(100.0, abs=0.31)


def test_the_help_names_all_that_exit_code_4_can_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """Strict mode and `explore` have it, too."""
    main(["--help"])
    text = " ".join(capsys.readouterr().out.split())

    assert "4 determinism broken, strict mode found something, or the result depends on the order of turns" in text


def test_a_wrong_break_condition_is_refused_before_anything_is_drawn(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was meant, and nothing else on any stream."""
    monkeypatch.setattr("src.cli.steering.keys_available", lambda: True)
    code = backtest(config, "--break", "BTCUSD.close > 1")
    out, err = capsys.readouterr()

    assert (code, out) == (2, "")
    assert "did you mean 'BTCUSDT'?" in err
    assert len(err.splitlines()) == 1


def test_a_manifest_is_no_configuration_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence has the command that it is for."""
    path = tmp_path / "many.yaml"
    path.write_text("base: config.yaml\nruns: [{name: one}]\n", encoding="utf-8")
    code = main(["--mode", "backtest", "--config", str(path)])

    assert code == 2
    assert "many.yaml is the manifest of a suite" in capsys.readouterr().err


def test_the_file_of_a_traceback_holds_no_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error that has seen a key is kept without it."""
    key = "planted-key-that-nobody-may-see"
    monkeypatch.setenv("LOCKSTEP_BINANCEUSDM_DEMO_KEY", key)

    def broken(*words: object, **more: object) -> int:
        raise RuntimeError(f"seen: {key}")

    monkeypatch.setattr(app, "app", broken)

    assert main(["--mode", "backtest"]) == 1
    told = capsys.readouterr().err
    assert key not in told
    path = Path(told.split(" with ")[-1].strip())
    text = path.read_text(encoding="utf-8")
    path.unlink()
    assert "RuntimeError" in text
    assert key not in text


def test_a_command_imports_nothing_that_others_need() -> None:
    """Whoever starts one run waits for neither the suites nor the modes in real time."""
    code = (
        "import sys, src.cli.app, src.cli.run_command; print([n for n in sys.modules if n.startswith('src.research')])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout == "[]\n"
