"""Reading the user's files for real locks; nothing runs."""

from pathlib import Path

import pytest

from src.backtesting.strict import StrictWatch, real_locks, refuse_real_locks, strict_report
from src.core.errors import ConfigError


def found(folder: Path, text: str) -> list[tuple[int, str]]:
    """Line and name of each real lock in a file with that text."""
    file = folder / "mine.py"
    file.write_text(text, encoding="utf-8")
    return [(one.line, one.name) for one in real_locks([file])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import threading\nL = threading.Lock()\n", [(2, "threading.Lock")]),
        ("import threading as t\n\nx = [t.RLock(), t.Event()]\n", [(3, "threading.Event"), (3, "threading.RLock")]),
        ("from threading import Condition as C\nclass A:\n    c = C()\n", [(3, "threading.Condition")]),
        ("from threading import *\nL = Lock()\n", [(2, "threading.Lock")]),
        ("import queue\nq = queue.SimpleQueue()\n", [(2, "queue.SimpleQueue")]),
        ("import _thread\nl = _thread.allocate_lock()\n", [(2, "_thread.allocate_lock")]),
        (
            "import concurrent.futures\np = concurrent.futures.ThreadPoolExecutor()\n",
            [(2, "concurrent.futures.ThreadPoolExecutor")],
        ),
        (
            "from concurrent import futures\np = futures.ThreadPoolExecutor()\n",
            [(2, "concurrent.futures.ThreadPoolExecutor")],
        ),
        (
            "import threading\nfrom collections import defaultdict\nd = defaultdict(threading.Lock)\n",
            [(3, "threading.Lock")],
        ),
        ("def f():\n    from threading import Timer\n    Timer(1, f).start()\n", [(3, "threading.Timer")]),
    ],
)
def test_a_real_lock_is_found_however_it_was_imported(tmp_path: Path, text: str, expected: list[object]) -> None:
    """Modules, aliases, single names, stars, and uses that are no call."""
    assert found(tmp_path, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "import threading\n",
        "import threading\nname = threading.current_thread().name\n",
        "import threading\ndef f(lock: threading.Lock) -> threading.Event: ...\n",
        "class Lock: ...\nL = Lock()\n",
        "from mine_too import Lock\nL = Lock()\n",
        "class S:\n    def on_start(self):\n        self.lock = self.clock.lock()\n",
    ],
)
def test_what_is_no_real_lock_is_left_alone(tmp_path: Path, text: str) -> None:
    """Imports, annotations, names of the user's own, and the clock's locks."""
    assert found(tmp_path, text) == []


def test_a_refusal_names_every_place_and_what_to_write(tmp_path: Path) -> None:
    """The user mends all of them at once."""
    file = tmp_path / "mine.py"
    file.write_text("import queue, threading\nL = threading.Lock()\nQ = queue.Queue()\n", encoding="utf-8")

    with pytest.raises(ConfigError) as caught:
        refuse_real_locks([file])

    assert "mine.py:2: threading.Lock; write self.clock.lock()" in caught.value.message
    assert "mine.py:3: queue.Queue; write self.clock.queue()" in caught.value.message
    assert caught.value.places == ["mine.py:2", "mine.py:3"]


def test_files_without_real_locks_pass(tmp_path: Path) -> None:
    """Nothing is raised."""
    file = tmp_path / "mine.py"
    file.write_text("import math\n", encoding="utf-8")

    refuse_real_locks([file])

    assert strict_report(StrictWatch(), [file]).findings == ()


def test_a_lock_that_nobody_was_seen_to_use_is_in_the_report_with_its_line(tmp_path: Path) -> None:
    """A lock of the module's own was made while the file was imported, before any turn."""
    file = tmp_path / "mine.py"
    file.write_text("import threading\nL = threading.Lock()\n", encoding="utf-8")

    report = strict_report(StrictWatch(), [file])

    assert [(f.participant, f.kind, f.call, f.line, f.count) for f in report.findings] == [
        ("", "lock", "threading.Lock()", 2, 0)
    ]
    assert report.as_dict()["findings"][0]["file"] == str(file)
    assert len(report.as_dict()["not_seen"]) >= 5
