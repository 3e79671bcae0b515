"""The blocks of README and docs that no other test executes are executed here."""

import copy
import re
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from src.backtesting.config import BacktestConfig
from src.cli.app import main
from src.core.config_file import parse_config, read_config
from src.core.strategy import BarStrategy
from src.live.config import LiveConfig
from src.testing.worlds import bar_series, bot_config, run_world
from tests.documentation.pages import Block, blocks, commands, page_names
from tests.documentation.preludes import CODE, MANIFESTS, write_market
from tests.documentation.register import (
    REGISTER,
    Code,
    Commands,
    Config,
    How,
    Manifest,
    OnBar,
    Paths,
    Shell,
    Strategy,
)
from tests.documentation.shell import Clone, clone_in, script_of
from tests.end_to_end.command import ROOT

DEFAULT = "configs/default.yaml"


def of_kind(kind: type[How]) -> list[Any]:
    """The blocks that are executed like this, as parameters."""
    found = []
    for page, entries in REGISTER.items():
        for block, (_, how) in zip(blocks(page), entries, strict=False):
            if isinstance(how, kind):
                found.append(pytest.param(block, how, id=f"{block.page}:{block.begins[:40]}"))
    return found


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delivered configurations over a day instead of two months, and a store with two symbols."""
    folder = tmp_path_factory.mktemp("documented") / "clone"
    shutil.copytree(ROOT / "configs", folder / "configs")
    default = folder / DEFAULT
    text = default.read_text(encoding="utf-8")
    shorter = re.sub(r"(?m)^  end: \S+", "  end: 2024-01-02", text)
    assert shorter != text
    default.write_text(shorter, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        write_market(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("block", "how"), of_kind(Commands))
def test_each_command_of_a_block_ends_as_the_page_says(
    block: Block, how: Commands, clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """One after the other, as they stand."""
    monkeypatch.chdir(clone)
    ended = {}
    for line in commands(block):
        if any(key in line for key in how.without):
            continue
        words = shlex.split(line)
        assert words[:2] == ["python", "main.py"], f"{line}: no command of ours; register it otherwise"
        more = [word for key, added in how.more.items() if key in line for word in shlex.split(added)]
        if "--config" not in words and words[2] == "results":
            more += ["--config", DEFAULT]
        ended[line] = main([*words[2:], *more])

    assert ended == {line: next((code for key, code in how.codes.items() if key in line), 0) for line in ended}
    assert ended


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """The program with its configurations, and a shell's way to it."""
    return clone_in(tmp_path_factory.mktemp("tree"))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="these blocks are for a POSIX shell")
@pytest.mark.parametrize(("block", "how"), of_kind(Shell))
def test_each_block_of_a_shell_runs_word_for_word(block: Block, how: Shell, tree: Clone) -> None:
    """To its last line, as somebody pastes it who stands in a clone."""
    ended = tree.run(script_of(block, how.without))

    assert ended.code == 0, ended.out + ended.err
    assert ended.out


@pytest.mark.parametrize(("block", "how"), of_kind(Config))
def test_the_keys_of_a_block_are_read(block: Block, how: Config) -> None:
    """With the rest of a configuration around them, in every mode that reads them."""
    written = parse_config(block.text, block.page, ROOT).values
    if how.under:
        written = {how.under: written}
    values = copy.deepcopy(dict(read_config(ROOT / DEFAULT).values))
    values = merged(values, {"live": {"exchange": "binanceusdm", "environment": "demo"}})
    replaced = {key: how.base[key] for key in how.base if isinstance(how.base[key], list)}
    values = merged(merged(values, how.base) | replaced, written)
    backtest = values["backtest"]
    for key in ("costs", "data"):  # as a whole, because their keys go with each other
        if key in written.get("backtest", {}):
            backtest[key] = written["backtest"][key]
    document = parse_config("{}", block.page, ROOT)
    document.values.update(values)

    document.validate(BacktestConfig)
    document.validate(LiveConfig)


@pytest.mark.parametrize(("block", "how"), of_kind(Manifest))
def test_each_manifest_is_read(block: Block, how: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the verb reads it that it is for."""
    monkeypatch.chdir(tmp_path)

    MANIFESTS[how.kind](block.text, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("block", "how"), of_kind(Strategy))
def test_each_strategy_runs(
    block: Block, how: Strategy, clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot runs it over a day of the delivered market, and nothing raises."""
    monkeypatch.chdir(clone)
    text = f"{how.imports}\n\n{block.text}"
    file = tmp_path / "shown.py"
    file.write_text(text, encoding="utf-8")
    one = f"strategies=[{{use: '{file}:{how.name}'}}]"

    code = main(["--mode", "backtest", "--config", DEFAULT, "--quiet", "--set", one, "--set", "on_error=stop_all"])

    assert code == 0


@pytest.mark.parametrize(("block", "how"), of_kind(OnBar))
def test_what_is_asked_for_on_a_bar_is_accepted(block: Block, how: OnBar) -> None:
    """Every order is taken, at a price of 100 and with a unit as the size."""
    body = textwrap.indent(block.text, " " * 12)
    names: dict[str, Any] = {"BarStrategy": BarStrategy}
    exec(f"class Shown(BarStrategy):\n    def on_bar(self, bar):\n        if len(self.bars) == 30:\n{body}", names)
    bars = bar_series("BTCUSDT", [(100.0, 101.0, 99.5, 100.0)] * 60)
    config = bot_config(["BTCUSDT"], [names["Shown"]], leverage=10)

    result = run_world([bars], [names["Shown"]], config)

    assert len(result.orders) >= len(re.findall(r"self\.(?:buy|sell)\(", block.text)), result.refusals
    assert result.refusals == {}


@pytest.mark.slow
@pytest.mark.parametrize(("block", "how"), of_kind(Code))
def test_each_piece_of_code_does_what_the_page_says(
    block: Block, how: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the names that the page speaks of."""
    monkeypatch.chdir(tmp_path)

    CODE[how.prelude](block.text, tmp_path)


@pytest.mark.parametrize(("block", "how"), of_kind(Paths))
def test_each_path_of_a_layout_is_there(block: Block, how: Paths) -> None:
    """The first word of each line; a name without a slash before it may lie in one of the folders above it."""
    named = [line.split()[0] for line in block.text.splitlines() if line.strip()]

    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_entry_is_of_a_page() -> None:
    """So that the lists above are not empty for the wrong reason."""
    assert set(REGISTER) <= set(page_names())
    assert all(of_kind(kind) for kind in (Commands, Config, Manifest, Strategy, Code, Paths))


def merged(values: dict[str, Any], other: Any) -> dict[str, Any]:
    """Mappings key by key; everything else is replaced."""
    found = dict(values)
    for key, value in other.items():
        below = found.get(key)
        found[key] = merged(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return found
