"""The run id covers what decides a run, and nothing else."""

import hashlib
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src.backtesting.identity import (
    canonical_json,
    code_hash,
    identity_inputs,
    run_id,
    used_versions,
    user_file_hash,
    versions,
)
from src.backtesting.run import prepare
from src.core.config_file import read_config
from src.core.errors import ConfigError, InternalError
from tests.backtesting.preflight.projects import minutes, project


def inputs(**changed: Any) -> dict[str, Any]:
    """The inputs of one run, some of them changed."""
    given: dict[str, Any] = {
        "configuration": {"symbols": ["BTCUSDT"], "account": {"balance": 10_000.0, "leverage": 3}},
        "start_ns": 1_704_067_200_000_000_000,
        "end_ns": 1_709_251_200_000_000_000,
        "seed": 7,
        "policy": "1:fifo:7",
        "data_fingerprint": "ab12",
        "user_files": {"./mine.py:Mine": "cd34"},
        "code": "ef56",
    }
    return identity_inputs(**{**given, **changed})


def test_the_id_is_the_start_of_the_hash_of_the_canonical_text() -> None:
    """Sixteen hexadecimal characters that anybody can compute again."""
    text = '{"a":[1,2.5,null,true],"b":"\\u00e9"}'

    assert run_id({"b": "é", "a": (1, 2.5, None, True)}) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_equal_inputs_have_one_id_in_every_process() -> None:
    """The order of keys and the hash seed of the process do not count."""
    script = (
        "from src.backtesting.identity import run_id;"
        "print(run_id({'b': {'y': 1, 'x': [0.1, None]}, 'a': sorted({'q', 'r', 's'})}))"
    )

    found = {
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
                       capture_output=True, text=True, check=True).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip

    assert found == {run_id({"a": ["q", "r", "s"], "b": {"x": [0.1, None], "y": 1}})}


@pytest.mark.parametrize(
    "changed",
    [
        {"configuration": {"symbols": ["BTCUSDT"], "account": {"balance": 10_001.0, "leverage": 3}}},
        {"configuration": {"symbols": ["BTCUSDT"], "account": {"balance": 10_000.0, "leverage": 4}}},
        {"start_ns": 1_704_067_200_000_000_001},
        {"end_ns": 1_709_251_200_000_000_001},
        {"seed": 8},
        {"policy": "1:seeded:7"},
        {"data_fingerprint": "ab13"},
        {"user_files": {"./mine.py:Mine": "cd35"}},
        {"code": "ef57"},
        {"changes": [{"instant_ns": 1, "action": "remove", "symbol": "BTCUSDT"}]},
        {"used_versions": {**versions(), "numpy": "0.0"}},
        {"used_versions": {**versions(), "python": "0.0"}},
        {"used_versions": {**versions(), "lockstep": "0.0"}},
    ],
)
def test_every_input_changes_the_id(changed: dict[str, Any]) -> None:
    """One nanosecond, one override, one version: another run."""
    assert run_id(inputs(**changed)) != run_id(inputs())


def test_the_inputs_name_the_versions_in_use() -> None:
    """Python, numpy and Lockstep of this process, unless others are given."""
    assert inputs()["versions"] == versions()
    assert (versions()["python"], versions()["numpy"]) == (platform.python_version(), np.__version__)


def test_versions_count_where_they_are_used(tmp_path: Path) -> None:
    """Calendars of exchanges, zones with daylight saving, and TA-Lib; another run has the plain versions."""
    plain, speaking = tmp_path / "plain.py", tmp_path / "speaking.py"
    plain.write_text("x = 1\n", encoding="utf-8")
    speaking.write_text("from src.core.features import talib_feature\n", encoding="utf-8")

    assert used_versions(["24/7"], ["UTC"], [plain]) == versions()
    assert set(used_versions(["24/7", "forex"], ["UTC"], [])) - set(versions()) == {"tzdata"}
    assert set(used_versions(["24/7"], ["America/New_York"], [])) - set(versions()) == {"tzdata"}
    exchange = used_versions(["forex", "XNYS"], ["UTC"], [])
    assert exchange["exchange_calendars"] == metadata.version("exchange_calendars")
    assert set(exchange) - set(versions()) == {"exchange_calendars", "tzdata"}
    assert used_versions([], [], [plain, speaking])["TA-Lib"] == metadata.version("TA-Lib")


@pytest.mark.slow
def test_a_prepared_run_names_what_it_uses(tmp_path: Path) -> None:
    """Its instruments' calendars, the zone of its day, and the sessions of its strategies."""
    config = project(tmp_path, minutes(-2, 6))
    cases = {
        "name=plain": set(),
        "instruments.AAA.calendar=forex": {"tzdata"},
        "instruments.AAA.calendar=XNYS": {"tzdata", "exchange_calendars"},
        "risk.day.zone=America/New_York": {"tzdata"},
        "strategies.0.session={from: 09:30, to: 16:00, zone: America/New_York}": {"tzdata"},
        "strategies.0.session={calendar: XNYS}": {"tzdata", "exchange_calendars"},
    }
    for override, expected in cases.items():
        prepared = prepare(read_config(config, [override]), stored=False, preflight=False)
        named = prepared.manifest["inputs"]["versions"]
        assert set(named) - set(versions()) == expected, override
        assert prepared.manifest["versions"] == named


def test_zones_are_the_systems_or_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python looks for them: the folders of the system first, with the version that they state."""
    monkeypatch.setattr("zoneinfo.TZPATH", (str(tmp_path),))
    package = used_versions(["forex"], [], [])["tzdata"]
    (tmp_path / "America").mkdir()
    (tmp_path / "America" / "New_York").write_bytes(b"TZif")
    unnamed = used_versions(["forex"], [], [])["tzdata"]
    (tmp_path / "tzdata.zi").write_text("# version 2025b\n# other\n", encoding="utf-8")

    assert package == metadata.version("tzdata")
    assert unnamed == "system"
    assert used_versions(["forex"], [], [])["tzdata"] == "system 2025b"


@pytest.mark.parametrize("missing", ["data_fingerprint", "policy"])
def test_a_run_without_fingerprint_or_policy_has_no_identity(missing: str) -> None:
    """An empty input would make different runs look alike."""
    with pytest.raises(InternalError):
        inputs(**{missing: ""})


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": {"b": float("nan")}}, "inputs.a.b"),
        ({"a": [1, Path("x")]}, r"inputs.a\[1\]"),
        ({"a": {1: 2}}, "inputs.a"),
        ({"a": {"q", "r"}}, "inputs.a"),
    ],
)
def test_what_has_no_single_text_is_refused_with_its_place(value: Any, place: str) -> None:
    """Numbers that are none, paths, keys that are no text, and sets, whose order is luck."""
    with pytest.raises(InternalError, match=place):
        canonical_json(value)


def write(folder: Path, **files: str) -> Path:
    """Files by name, two underscores standing for a folder; returns the folder."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def test_the_code_hash_covers_names_and_contents_and_not_the_place(tmp_path: Path) -> None:
    """A copy elsewhere is equal; a changed line, a renamed file and a moved line between files are not."""
    first = write(tmp_path / "one", a="x = 1\n", pack__b="y = 2\n")
    expected = code_hash(first)

    assert code_hash(write(tmp_path / "two", a="x = 1\n", pack__b="y = 2\n")) == expected
    assert code_hash(write(tmp_path / "three", a="x = 2\n", pack__b="y = 2\n")) != expected
    assert code_hash(write(tmp_path / "four", c="x = 1\n", pack__b="y = 2\n")) != expected
    assert code_hash(write(tmp_path / "five", a="x = 1\ny = 2\n", pack__b="")) != expected


def test_line_ends_and_caches_do_not_count(tmp_path: Path) -> None:
    """A checkout on another system, and a run that left compiled files, have the same hash."""
    plain = write(tmp_path / "one", a="x = 1\ny = 2\n")
    windows = write(tmp_path / "two", a="x = 1\r\ny = 2\r\n", __pycache____a="z = 3")
    (windows / "notes.txt").write_text("no code")

    assert code_hash(plain) == code_hash(windows)


def test_the_hash_of_a_user_file_follows_the_modules_beside_it(tmp_path: Path) -> None:
    """A helper of a helper counts, through every form of import; a neighbour that nobody imports does not."""
    texts = {
        "mine": "import one, os\nfrom two import f\nfrom importlib import import_module\nimport_module('three')\n",
        "one": "from pack.deep import g\nimport mine\n",
        "two": "def f():\n    from . import four\n",
        "three": "",
        "four": "",
        "pack____init__": "",
        "pack__deep": "from .near import h\n",
        "pack__near": "",
        "stranger": "",
    }
    expected = user_file_hash(write(tmp_path / "base", **texts) / "mine.py")

    def after(name: str) -> str:
        folder = write(tmp_path / f"changed_{name}", **{**texts, name: texts[name] + "z = 1\n"})
        return user_file_hash(folder / "mine.py")

    changed = {name for name in texts if after(name) != expected}

    assert changed == set(texts) - {"stranger"}


def test_the_place_of_a_user_file_does_not_count(tmp_path: Path) -> None:
    """The same files in another folder have the same hash."""
    write(tmp_path / "here", mine="import one\n", one="x = 1\n")
    shutil.copytree(tmp_path / "here", tmp_path / "there")

    assert user_file_hash(tmp_path / "here" / "mine.py") == user_file_hash(tmp_path / "there" / "mine.py")


def test_a_user_file_that_is_missing_or_no_python_is_a_configuration_error(tmp_path: Path) -> None:
    """The sentence names the file and the line, also of a module that the file imports."""
    write(tmp_path, mine="import one\n", one="x = 1\nx = = 2\n")

    with pytest.raises(ConfigError, match=r"one\.py, line 2: expected Python"):
        user_file_hash(tmp_path / "mine.py")
    with pytest.raises(ConfigError, match=r"expected a readable Python file at .*absent\.py"):
        user_file_hash(tmp_path / "absent.py")
