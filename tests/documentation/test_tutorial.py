"""docs/tutorial.md, followed literally: its files are saved, its commands run in their order, to the last line."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.documentation.pages import Block, blocks, commands, text_of
from tests.end_to_end.command import MAIN, ROOT, Ended, Told, run
from tests.end_to_end.telling import told
from tests.ports import free_port

__all__ = ["told"]

pytest.importorskip("ccxt")

PAGE = "docs/tutorial.md"
#: Commands that do not end with 0; the page says so.
CODES = {"explore --config my_bot/bot.yaml --schedules 3": 4}
#: What the page names in one line above each block that is a file.
_FILE = re.compile(r"`(my_bot/[\w.]+)`")


class Terminals:
    """A folder in which the commands run, an environment that `export` changes, and what runs in the background."""

    def __init__(self, folder: Path, told: Told) -> None:
        self.folder = folder
        self.told = told
        self.env = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        self.ended: list[tuple[str, int]] = []

    def words(self, line: str) -> list[str]:
        """A command as a list, with this interpreter and the program of this tree."""
        words = shlex.split(line)
        assert words[:2] == ["python", "main.py"], line
        return [sys.executable, str(MAIN), *words[2:]]

    def run(self, line: str) -> Ended:
        """A command to its end: one that runs the bot in a process of its own, any other in this one."""
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value
            return Ended(code=0, out="", err="")
        _, _, *words = self.words(line)
        told = self.process if "--mode" in words else self.told
        done = told(*words, cwd=self.folder)
        self.ended.append((line, done.code))
        expected = next((code for key, code in CODES.items() if line.endswith(key)), 0)
        assert done.code == expected, f"{line}: {done.out}{done.err}"
        return done

    def process(self, *words: str, cwd: Path) -> Ended:
        """The program in a process of its own, with what was exported."""
        return run(*words, cwd=cwd, env=self.env)

    def await_heartbeat(self) -> None:
        """The wait that the page asks for before the first `status`, as long as it takes here."""
        line = "python main.py status --config my_bot/bot.yaml"
        for _ in range(60):  # each of them takes about a second
            done = subprocess.run(self.words(line), cwd=self.folder, env=self.env, capture_output=True, check=False)
            if done.returncode == 0:
                return

    @contextmanager
    def background(self, line: str, sign: str, *, interrupted: bool) -> Iterator["subprocess.Popen[str]"]:
        """A command that goes on meanwhile, from its first line with `sign` on; it has to end with 0.

        Args:
            interrupted: it is ended by Ctrl-C, otherwise waited for.
        """
        process = subprocess.Popen(
            self.words(line), cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, encoding="utf-8",
        )  # fmt: skip
        said: list[str] = []
        try:
            assert process.stdout is not None
            for shown in process.stdout:
                said.append(shown)
                if sign in shown:
                    break
            assert sign in "".join(said), f"{line}: {''.join(said)}"
            yield process
            if interrupted:
                process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=300)
            self.ended.append((line, process.returncode))
            assert process.returncode == 0, f"{line}: {''.join(said)}{rest}"
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def saved_as(block: Block) -> str:
    """The file that the sentence above a block says to save it as."""
    above = text_of(PAGE).splitlines()[: block.line - 2]
    return _FILE.findall(" ".join(above[-4:]))[-1]


def shorten(folder: Path) -> None:
    """The delivered configuration over a day; everything of the tutorial's own stays as it stands there."""
    shutil.copytree(ROOT / "configs", folder / "configs")
    default = folder / "configs" / "default.yaml"
    default.write_text(default.read_text(encoding="utf-8").replace("end: 2024-03-01", "end: 2024-01-02"), "utf-8")


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute on a machine that has nothing else to do
@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial is for a POSIX shell")
def test_the_tutorial_works_to_its_last_line(tmp_path: Path, told: Told) -> None:
    """From the first run to the parity of a live one, with a port of its own."""
    shorten(tmp_path)
    (tmp_path / "my_bot").mkdir()
    page = Terminals(tmp_path, told)
    _, *rest = blocks(PAGE)  # the first one installs; that is how this test came to be
    said: dict[str, Ended] = {}
    port = free_port()
    with ExitStack() as stack:
        live: ExitStack | None = None
        for block in rest:
            if block.language:
                text = block.text.replace(":8787", f":{port}")
                (tmp_path / saved_as(block)).write_text(text, encoding="utf-8")
                continue
            for line in commands(block):
                if " venue " in line:
                    stack.enter_context(page.background(line, "Ctrl-C ends it", interrupted=True))
                elif "--mode live" in line:
                    live = ExitStack()
                    stack.enter_context(live)
                    live.enter_context(page.background(line, "bot started", interrupted=False))
                    page.await_heartbeat()
                else:
                    if " parity " in line and live is not None:
                        live.close()
                    said[line] = page.run(line)
    explored = [said[line].out for line in said if " explore " in line]

    assert len(page.ended) == sum(not line.startswith("export") for block in rest if not block.language
                                  for line in commands(block))  # fmt: skip
    assert "worker:BTCUSDT and worker:ETHUSDT race for the last slot" in explored[0]
    assert "REJECT" in said["python main.py walkforward my_bot/validate.yaml"].out
    assert [line for line in said if " status " in line] != []


def test_every_file_of_the_tutorial_is_named_above_it() -> None:
    """`my_bot/...`, once each."""
    names = [saved_as(block) for block in blocks(PAGE) if block.language]

    assert names == ["my_bot/dip.py", "my_bot/bot.yaml", "my_bot/suite.yaml", "my_bot/validate.yaml"]
