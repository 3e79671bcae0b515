"""What a run changes around it is as it was before the next one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from src.core.config_file import read_config
from src.research.suite.ports import RunTask
from src.research.suite.task import forget_data, run_task
from src.strategies.loader import forget_user_code, load_strategy
from tests.research.projects import write_project

#: What a user's file does when it is executed; each bot trades a volume that tells whether it was done before.
DONE = {
    "environment": "import os\nhow = 1 + len(os.environ.get('SEEN', ''))\nos.environ['SEEN'] = 'yes'",
    "folder": "import os\nhow = 1 + (os.getcwd() == '/')\nos.chdir('/')",
    "path": "import sys\nhow = 1 + sys.path.count('/seen')\nsys.path.append('/seen')",
    "decimals": "import decimal\nhow = decimal.getcontext().prec / 28\ndecimal.getcontext().prec += 1",
    "numbers": "import numpy as np\nhow = 1 + (np.geterr()['over'] == 'raise')\nnp.seterr(all='raise')",
    "texts": "import numpy as np\nhow = np.get_printoptions()['precision']\nnp.set_printoptions(precision=how + 1)",
    "warnings": "import warnings\nhow = len(warnings.filters)\nwarnings.filterwarnings('error', str(how))",
    "log": "import logging\nhow = 1 + len(logging.root.handlers)\nlogging.root.addHandler(logging.NullHandler())",
    "stack": "import sys\nhow = sys.getrecursionlimit() / 1000\nsys.setrecursionlimit(sys.getrecursionlimit() + 100)",
    "collector": "import gc\nhow = 1 + gc.isenabled()\ngc.disable()",
}


def task(folder: Path, file: str) -> RunTask:
    """A run of the bot `Odd` of one of the project's files."""
    config = folder / "config.yaml"
    use = f"strategies=[{{use: '{file}:Odd'}}]"
    values = read_config(config, [use, "backtest.data.store=none", "backtest.runtime=fibers"]).values
    return RunTask(key=file, values=values, name=config.name, folder=str(folder), signature="odd")


def write_bot(folder: Path, file: str, done: str) -> None:
    """A file beside the project's whose bot does that."""
    bot = "class Odd(Healthy):\n    def volume(self) -> float:\n        return 0.01 * how\n"
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_text(f"from bots import Healthy\n\n{done}\n\n\n{bot}", encoding="utf-8")


@pytest.mark.parametrize("what", DONE)
def test_what_a_users_file_sets_for_the_whole_process_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The second run is the first one again, and so is the process."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, "Healthy")
    write_bot(tmp_path, "odd.py", DONE[what])
    forget_user_code()  # of other tests
    before = (os.getcwd(), dict(os.environ), list(sys.path), sys.getrecursionlimit())

    answers = [run_task(task(tmp_path, "odd.py")) for _ in range(2)]

    forget_data()
    assert [answer.outcome for answer in answers] == ["COMPLETED", "COMPLETED"], answers[1].error
    assert (os.getcwd(), dict(os.environ), list(sys.path), sys.getrecursionlimit()) == before
    assert [name for name in sys.modules if name.startswith("lockstep_user_")] == []


def test_a_module_beside_another_runs_file_is_not_found(tmp_path: Path) -> None:
    """A file that asks for a module which only another run has goes without it, as it does by itself."""
    write_project(tmp_path, "Healthy")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "beside.py").write_text("how = 7\n", encoding="utf-8")
    asking = "try:\n    from beside import how\nexcept ImportError:\n    how = 1"
    for place in ("one", "two"):
        write_bot(tmp_path, f"{place}/odd.py", asking)
        (tmp_path / place / "bots.py").write_bytes((tmp_path / "bots.py").read_bytes())

    alone = run_task(task(tmp_path, "two/odd.py"))
    other = run_task(task(tmp_path, "one/odd.py"))
    after = run_task(task(tmp_path, "two/odd.py"))

    forget_data()
    assert alone.digest != other.digest
    assert (after.outcome, after.digest) == ("COMPLETED", alone.digest)


def test_a_file_that_was_loaded_before_the_first_run_leaves_no_folder_on_the_path(tmp_path: Path) -> None:
    """Nor does it come back with what is put back after the run."""
    write_project(tmp_path / "before", "Healthy")
    write_project(tmp_path / "run", "Healthy")
    write_bot(tmp_path / "run", "odd.py", "how = 1")
    load_strategy("bots.py:Healthy", tmp_path / "before")
    assert run_task(task(tmp_path / "run", "odd.py")).outcome == "COMPLETED"

    forget_data()
    assert not [place for place in sys.path if str(tmp_path) in place]


DRAWS = """
import random
import numpy as np
from src.research.suite.surroundings import restored_surroundings
random.seed(1)
np.random.seed(1)
with restored_surroundings():
    pass
print(random.random(), np.random.random())
"""


def test_nobody_draws_from_what_another_run_has_seeded() -> None:
    """As in a new process, what comes is different each time."""
    command = [sys.executable, "-c", DRAWS]
    said = [subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)]

    assert said[0][0] != said[1][0]
    assert said[0][1] != said[1][1]
