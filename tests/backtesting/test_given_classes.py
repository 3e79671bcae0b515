"""What a strategy class that lives in memory alone is made of: its hash changes exactly where its behaviour may."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from src.backtesting import run_backtest
from src.backtesting.given import given_strategy, named_strategy, source_of
from src.core.errors import ConfigError
from src.strategies.sma_cross import SmaCross
from tests.backtesting.api_world import Crossing, small
from tests.end_to_end.command import ROOT

CELL = '''
import math
import threading
import numpy as np
from enum import Enum
from src.core.features import sma
from src.core.strategy import BarStrategy, param

STEP = 2
TABLE = {"a": [1, 2.5], "b": (None, "x")}
WEIGHTS = np.array([1.0, 2.0])


class Mode(Enum):
    CALM = 1
    WILD = 2


def half(value):
    return value / STEP


def outer(value):
    return half(value) + math.sqrt(4) + WEIGHTS[0]


class Base(BarStrategy):
    timeframe = "15m"

    def wanted(self, bar):
        return bar.close > outer(bar.open)


class Mine(Base):
    """Says something."""

    fast: int = param(3, low=2, high=100)
    modes = {"x": Mode.CALM}

    @property
    def doubled(self):
        return self.fast * 2

    @staticmethod
    def rounded(value, digits=2):
        return round(value, digits)

    def on_bar(self, bar):
        # A remark.
        if self.wanted(bar) and bar.symbol in {"AAA", "BBB", "CCC", "DDD", "EEE", "FFF"} and TABLE["a"]:
            self.buy(volume=self.rounded(1.0), stop=min(each for each in (bar.low, half(bar.close))))
'''


def defined(cell: str, name: str = "Mine") -> Any:
    """The class of a cell that was run, as a notebook runs it."""
    module = ModuleType("__main__")
    exec(compile(cell, "<cell>", "exec"), module.__dict__)
    return module.__dict__[name]


def made_of(cell: str) -> str:
    """The hash of the class in a cell."""
    found = given_strategy(defined(cell))[1].made_of
    assert found is not None
    return found


def test_the_same_cell_run_again_is_the_same_strategy() -> None:
    """Other objects, equal content."""
    assert made_of(CELL) == made_of(CELL)


@pytest.mark.slow
def test_the_hash_is_the_same_in_another_process() -> None:
    """Whatever the hash seed and the addresses are."""
    code = (
        "import sys; from types import ModuleType; from src.backtesting.given import given_strategy; "
        "cell = ModuleType('__main__'); exec(compile(sys.stdin.read(), '<cell>', 'exec'), cell.__dict__); "
        "print(given_strategy(cell.Mine)[1].made_of)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "4711"}, input=CELL,
        capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip

    assert ended.stdout.strip() == made_of(CELL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# A remark.", "# Another remark, and\n        # one more."),
        ('    """Says something."""\n', ""),
        ("import math\n", "import math\nUNUSED = object()\n"),
        ("STEP = 2\n", "# moved down\n\n\nSTEP = 2\n"),
        ('TABLE["a"]', "TABLE['a']"),
    ],
)
def test_what_does_nothing_changes_nothing(old: str, new: str) -> None:
    """Remarks, the class's own text, lines, and what is not used."""
    assert old in CELL

    assert made_of(CELL.replace(old, new, 1)) == made_of(CELL)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("STEP = 2", "STEP = 3"),
        ("STEP = 2", "STEP = 2.0"),
        ('"a": [1, 2.5]', '"a": [1, 2.6]'),
        ('(None, "x")', '(None, "y")'),
        ("np.array([1.0, 2.0])", "np.array([1.0, 2.1])"),
        ("CALM = 1", "CALM = 3"),
        ("Mode.CALM", "Mode.WILD"),
        ("math.sqrt(4)", "math.sqrt(5)"),
        ("math.sqrt(4)", "math.exp(4)"),
        ("return value / STEP", "return value * STEP"),
        ("bar.close > outer(bar.open)", "bar.close >= outer(bar.open)"),
        ('timeframe = "15m"', 'timeframe = "30m"'),
        ("param(3, low=2, high=100)", "param(4, low=2, high=100)"),
        ("param(3, low=2, high=100)", "param(3, low=2, high=99)"),
        ("self.fast * 2", "self.fast * 3"),
        ("digits=2", "digits=3"),
        ('{"AAA", "BBB", ', '{"AAA", "GGG", '),
        ("half(bar.close)", "bar.close"),
        ("    def on_bar", "    def on_start(self):\n        self.state['n'] = 0\n\n    def on_bar"),
    ],
)
def test_whatever_may_decide_changes_the_hash(old: str, new: str) -> None:
    """Code and values, of the class, its bases, and everything that they use, however far away."""
    assert old in CELL

    assert made_of(CELL.replace(old, new, 1)) != made_of(CELL)


def test_a_closure_counts_with_what_it_holds() -> None:
    """A class made by a function for a number is another one for another number."""
    cell = CELL + (
        "\n\ndef make(limit):\n    class Made(BarStrategy):\n        def on_bar(self, bar):\n"
        "            super().on_bar(bar)\n            self.buy(volume=limit)\n    return Made\n\n\n"
    )
    hashes = [given_strategy(defined(f"{cell}Mine = make({limit})\n"))[1].made_of for limit in (1, 1, 2)]

    assert hashes[0] == hashes[1] != hashes[2]


def test_a_module_beside_the_notebook_counts_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its functions are called by name, so the text of the file decides."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "my_helpers_of_a_notebook.py"
    file.write_text("def level(bar):\n    return 1\n", encoding="utf-8")
    cell = "import my_helpers_of_a_notebook as helpers\n" + CELL.replace("outer(bar.open)", "helpers.level(bar)")
    before = made_of(cell)

    file.write_text("def level(bar):\n    return 2\n", encoding="utf-8")

    assert made_of(cell) != before
    monkeypatch.delitem(sys.modules, "my_helpers_of_a_notebook")


@pytest.mark.parametrize("thing", [pd.DataFrame({"a": [1]}), object(), open])
def test_what_identifies_nothing_is_refused_by_its_name(thing: object) -> None:
    """A table of the notebook could be another one tomorrow, and the run would be taken for this one."""
    cls = defined(CELL.replace("outer(bar.open)", "signals"))
    cls.wanted.__globals__["signals"] = thing

    if thing is open:  # of Python itself
        assert given_strategy(cls)[1].made_of
        return
    with pytest.raises(ConfigError, match=r"the strategy Mine uses signals, a \w+.*, which identifies no run"):
        given_strategy(cls)


VALUES: list[tuple[str, str]] = [
    ("functools.partial(round, ndigits=1)", "functools.partial(round, ndigits=2)"),
    ("functools.lru_cache(lambda bar: 1)", "functools.lru_cache(lambda bar: 2)"),
    ("re.compile('a' * 300 + 'b')", "re.compile('a' * 300 + 'c')"),
    ("re.compile('a')", "re.compile('a', re.IGNORECASE)"),
    ("dt.timedelta(1)", "dt.timedelta(2)"),
    ("pd.Timestamp('2024-01-01')", "pd.Timestamp('2024-01-02')"),
    ("zoneinfo.ZoneInfo('UTC')", "zoneinfo.ZoneInfo('Asia/Tokyo')"),
    ("collections.deque([1, 2], 2)", "collections.deque([1, 2], 3)"),
    ("collections.defaultdict(list, a=1)", "collections.defaultdict(set, a=1)"),
    ("Held(1)", "Held(2)"),
    ("Fixed(1)", "Fixed(2)"),
    ("talib.SMA", "talib.EMA"),
    ("sma(3)", "sma(4)"),
    ("pathlib.Path('a')", "pathlib.Path('b')"),
    ("b'a'", "b'b'"),
]
IMPORTS = """
import collections, dataclasses, datetime as dt, functools, pathlib, re, zoneinfo
import pandas as pd
import talib

class Held:
    def __init__(self, level):
        self.level = level

@dataclasses.dataclass
class Fixed:
    level: int
"""


@pytest.mark.parametrize(("one", "other"), VALUES)
def test_values_that_say_all_of_themselves_count(one: str, other: str) -> None:
    """Equal ones are equal, others are not."""
    pytest.importorskip("talib", reason="TA-Lib is not installed")
    cell = IMPORTS + CELL.replace("outer(bar.open)", "VALUE").replace("STEP = 2", "STEP = 2\nVALUE = {}")
    first, again, changed = (cell.replace("VALUE = {}", f"VALUE = {value}") for value in (one, one, other))

    assert made_of(first) == made_of(again) != made_of(changed)


def test_a_circle_of_references_comes_to_an_end() -> None:
    """Functions that call each other, a list that holds itself."""
    cell = CELL.replace("return value / STEP", "return value if STEP else outer(value)")
    cell = cell.replace("STEP = 2", "STEP = [2]\nSTEP.append(STEP)")

    assert made_of(cell) == made_of(cell) != made_of(CELL)


def test_the_text_of_a_class_is_found_where_it_was_written() -> None:
    """Without its neighbours, indented as it stands alone."""

    class Here(SmaCross):
        def on_stop(self) -> None:
            """Nothing."""

    text = source_of(Here)

    assert text is not None
    assert text.startswith("class Here(SmaCross):\n    def on_stop")
    assert source_of(defined(CELL)) is None


def test_classes_that_can_be_found_again_go_by_their_place(tmp_path: Path) -> None:
    """A name of the table, and a file relative to the configuration; what is made inside a function cannot be found."""

    class Here(SmaCross):
        pass

    assert named_strategy(SmaCross, tmp_path) == "sma_cross"
    assert named_strategy(Crossing, Path(__file__).parent) == "api_world.py:Crossing"
    assert named_strategy(Here, tmp_path) is None


@pytest.mark.slow
def test_a_class_of_a_file_is_read_from_it_again(tmp_path: Path) -> None:
    """So the run is the one that the file makes from the command line."""
    by_class = run_backtest(small(tmp_path), strategies=Crossing)
    by_name = run_backtest(small(tmp_path), strategies=by_class.manifest["configuration"]["strategies"][0]["use"])

    assert by_class.run_id == by_name.run_id
    assert list(by_class.manifest["inputs"]["user_files"]) == [
        by_class.manifest["configuration"]["strategies"][0]["use"]
    ]


@pytest.mark.slow
def test_a_class_of_a_cell_runs_and_keeps_its_text(tmp_path: Path) -> None:
    """With parameters, under its own name; run again it is the same run, and changed it is another one."""

    class Local(Crossing):
        def on_stop(self) -> None:
            self.state["done"] = True

    first = run_backtest(small(tmp_path), strategies={"use": Local, "params": {"fast": 4}})
    again = run_backtest(small(tmp_path), strategies=[{"use": Local, "params": {"fast": 4}}])
    other = run_backtest(small(tmp_path), strategies=Local)

    assert set(first.trades["book"]) == {"Local"}
    assert (first.run_id, first.digest) == (again.run_id, again.digest)
    assert other.run_id != first.run_id
    assert "class Local(Crossing):" in first.manifest["strategy_sources"]["class:Local"]


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    """Their books would be one."""

    def made(step: int) -> type[Crossing]:
        class Local(Crossing):
            def on_stop(self) -> None:
                self.state["step"] = step

        return Local

    with pytest.raises(ConfigError, match="two of the strategies are different classes called Local; rename one"):
        run_backtest(small(tmp_path), strategies=[made(1), made(2)])


def test_a_stored_run_of_a_class_says_what_to_do_from_the_command_line(tmp_path: Path) -> None:
    """Its name leads nowhere there."""
    with pytest.raises(ConfigError, match=r"the class Local was defined in a notebook or a script .*write it into a"):
        run_backtest(small(tmp_path), strategies="class:Local")


@pytest.mark.parametrize(
    "body",
    [
        "self.lock = threading.Lock()",
        "import queue\n            self.lock = queue.Queue()",
        "self.lock = Alias()",
    ],
)
def test_real_locks_are_refused_with_fibers(body: str, tmp_path: Path) -> None:
    """As in a file, with what to write instead; with threads they are not."""
    start = f"    def on_start(self):\n        if True:\n            {body}\n\n    def on_bar"
    cell = CELL.replace("import numpy as np\n", "import numpy as np\nfrom threading import Event as Alias\n")
    cell = cell.replace("    def on_bar", start)
    cls = defined(cell)

    with pytest.raises(ConfigError, match=r"runtime: fibers .*\n.*Mine: \w+\.\w+; write self\.clock\."):
        run_backtest(small(tmp_path, runtime="fibers"), strategies=cls)
    assert given_strategy(defined(CELL))[1].real_locks == ()


def test_arrays_count_with_type_and_shape() -> None:
    """The same bytes read otherwise are another value."""
    hashes = set()
    for value in (np.zeros(4), np.zeros((2, 2)), np.zeros(4, np.int64), np.float64(0.0)):
        cls = defined(CELL)
        cls.wanted.__globals__["WEIGHTS"] = value
        hashes.add(given_strategy(cls)[1].made_of)

    assert len(hashes) == 4
