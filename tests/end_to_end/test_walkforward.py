"""The delivered validation, and somebody else's trades as the page about validations shows them."""

import hashlib
import re
import shlex
import shutil
import sys
from pathlib import Path

import duckdb
import pytest

from tests.documentation.pages import block_of, commands
from tests.end_to_end.command import MAIN, ROOT, Told, run

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*forkpty:DeprecationWarning")]

PAGE = "docs/validation.md"
COMMANDS = commands(block_of(PAGE, "python main.py walkforward configs/validate.yaml"))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The delivered configurations in a folder of their own."""
    shutil.copytree(ROOT / "configs", tmp_path / "clone" / "configs")
    return tmp_path / "clone"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """A folder with the table that the page's script writes, and the page's configuration."""
    script, config = block_of(PAGE, "import csv").text, block_of(PAGE, "name: others").text
    folder = tmp_path / "others"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        exec(compile(script, "page", "exec"), {})
    (folder / "others.yaml").write_text(config, encoding="utf-8")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """A hash of every file but locks, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("lock")
    }


def test_the_delivered_validation_shows_survivors_rejections_and_which_were_planted(clone: Path) -> None:
    """Most of those with an edge are found, every phase rejects somebody, and all verdicts are stored."""
    (command,) = commands(block_of("README.md", "python main.py walkforward"))

    ended = run(*shlex.split(command)[2:], "--workers", "2", cwd=clone)

    assert ended.code == 0, ended.err
    assert "SYNTHETIC" in ended.out
    assert "SYNTHETIC" in ended.err
    found = re.search(r"Found (\d+) of 10 planted", ended.out)
    assert found is not None
    assert int(found[1]) >= 5
    assert re.search(r"At most 5 % of what passes, here \d+ candidates, is expected to be false \(Benja", ended.out)
    rejected = dict(re.findall(r"^REJECT at (\w+): (\d+) candidates?$", ended.out, re.MULTILINE))
    assert list(rejected) == [
        "sample", "expectancy", "years", "cost_stress", "drawdown", "stability", "significance"
    ]  # fmt: skip
    with duckdb.connect(str(clone / "runs" / "validation.duckdb"), read_only=True) as connection:
        statuses = dict(
            connection.execute("SELECT status, count(*) FROM experimental_strategies GROUP BY status").fetchall()
        )
        ((setups,),) = connection.execute("SELECT count(*) FROM validated_setups").fetchall()
    assert statuses == {"PASS": setups, "REJECT": 400 - setups}
    assert sum(map(int, rejected.values())) == 400 - setups


def test_a_second_run_and_another_number_of_workers_change_no_byte(clone: Path, told: Told) -> None:
    """Verdicts, windows and records are a function of candidates, configuration and family."""
    few = ("--set", "candidates.generated.candidates=100", "--set", "candidates.generated.edge=0.6")
    words = ("walkforward", "configs/validate.yaml", *few, "--json", "--workers")

    first = told(*words, "1", cwd=clone)
    before = contents(clone / "runs")
    again = run(*words, "2", cwd=clone)
    resumed = told(*words, "2", "--resume", cwd=clone)

    assert [each.code for each in (first, again, resumed)] == [0, 0, 0], again.err
    assert contents(clone / "runs") == before
    values = [each.value for each in (first, again, resumed)]
    for each in values:
        del each["timing"], each["family"]["stored"]
    assert values[0] == values[1] == values[2]
    assert values[0]["statuses"]["PASS"] > 0


def test_a_dry_run_comes_to_the_same_and_leaves_nothing(clone: Path, told: Told) -> None:
    """Not even the folder for runs."""
    few = ("--set", "candidates.generated.candidates=80", "--json")

    dry = told("walkforward", "configs/validate.yaml", *few, "--dry-run", cwd=clone)
    left = [path.name for path in clone.iterdir()]
    real = told("walkforward", "configs/validate.yaml", *few, cwd=clone)

    assert (dry.code, real.code, left) == (0, 0, ["configs"]), dry.err
    assert dry.value["folder"] is None
    assert dry.value["candidates"] == real.value["candidates"]
    assert dry.value["funnel"] == real.value["funnel"]


def test_somebody_elses_trades_are_judged_as_the_page_says(others: Path, told: Told) -> None:
    """Every line that the page shows is there, and more trials are another family."""
    (command,) = commands(block_of(PAGE, "python main.py walkforward others.yaml"))
    shown = block_of(PAGE, "phase").text

    ended = told(*shlex.split(command)[2:], cwd=others)
    more = told("walkforward", "others.yaml", "--trials", "100000", "--json", cwd=others)

    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert [line for line in shown.splitlines() if line not in lines] == []
    assert {each["candidate_id"]: each["status"] for each in more.value["candidates"]} == {
        "breakout": "PASS", "carry": "SKIP", "fade": "REJECT", "gap": "REJECT"
    }  # fmt: skip
    assert more.value["family"]["size"] == 100_004


def test_without_a_cut_off_somebody_elses_trades_are_stable_and_nothing_more(others: Path, told: Told) -> None:
    """Nothing is said of false discoveries, in no word and in no figure."""
    config = others / "others.yaml"
    kept = [line for line in config.read_text().splitlines() if not line.startswith("discovery_cutoff")]
    config.write_text("\n".join(kept) + "\n", encoding="utf-8")

    ended = told("walkforward", "others.yaml", "--json", cwd=others)

    assert (ended.code, ended.value["kind"], ended.value["family"]) == (0, "stability", None), ended.err
    assert {each["p_value"] for each in ended.value["candidates"]} == {None}
    assert "This is a test of stability" in ended.err
    assert not any(word in ended.err for word in ("false", "Benjamini", "adj. p"))


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_of_the_page_runs(command: str, clone: Path, told: Told) -> None:
    """As it stands, over fewer candidates."""
    ended = told(*shlex.split(command)[2:], "--set", "candidates.generated.candidates=60", cwd=clone)

    assert ended.code == 0, ended.err


def test_a_terminal_of_80_columns_cuts_nothing_off_and_ctrl_c_names_the_way_on(clone: Path) -> None:
    """A bar while it runs; interrupted with the command that ends with the same verdicts."""
    pexpect = pytest.importorskip("pexpect", reason="no pseudo-terminals on this system")
    words = ["walkforward", "configs/validate.yaml", "--workers", "1", "--set", "candidates.generated.candidates=500"]
    child = pexpect.spawn(
        sys.executable, [str(MAIN), *words], cwd=str(clone), encoding="utf-8", timeout=400, dimensions=(50, 80)
    )
    child.expect(r"\d+/\d+ candidates .*%")
    child.sendintr()
    child.expect(r"interrupted after .* what is done is kept.*--resume` goes on from there")
    child.expect(pexpect.EOF)
    child.close()
    code = child.exitstatus
    child = pexpect.spawn(
        sys.executable, [str(MAIN), *words, "--resume"], cwd=str(clone), encoding="utf-8", timeout=400,
        dimensions=(50, 80),
    )  # fmt: skip
    child.expect("COMPLETED: .*")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.before)
    child.expect(pexpect.EOF)
    child.close()

    assert (code, child.exitstatus) == (130, 0)
    table = shown[shown.index("phase ") :]
    assert "…" not in table
    assert all(len(line) <= 80 for line in table.splitlines() if not line.startswith("and "))


def test_what_is_wrong_in_the_configuration_is_a_sentence_with_the_line(clone: Path, told: Told) -> None:
    """Before anything is read or written."""
    path = clone / "configs" / "validate.yaml"
    path.write_text(path.read_text().replace("test_months: 6", "test_months: none"), encoding="utf-8")

    ended = told("walkforward", "configs/validate.yaml", "--json", cwd=clone)

    assert (ended.code, (clone / "runs").exists()) == (2, False)
    assert re.search(r"validate\.yaml:\d+", ended.value["error"]["message"])
    assert "test_months" in ended.value["error"]["message"]
