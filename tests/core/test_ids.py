"""Identities and random streams are functions of what they name."""

import itertools
import re
import subprocess
import sys

import numpy as np

from src.core.ids import client_id
from src.core.rng import numpy_stream, stable_hash, stream


def test_a_client_id_is_a_function_of_its_parts_and_fits_every_venue() -> None:
    """Any other part gives another id; the form is 32 characters of [a-z0-9], a letter first."""
    parts = [("main", "spare"), ("sma", "other"), ("AAA", "BBB"), (0, 1), (1, 2)]
    ids = {combination: client_id(*combination) for combination in itertools.product(*parts)}  # type: ignore[arg-type]  # a product

    assert len(set(ids.values())) == 32
    assert all(re.fullmatch(r"[a-z][a-z0-9]{31}", each) for each in ids.values())
    assert client_id("main", "sma", "AAA", 0, 1) == ids["main", "sma", "AAA", 0, 1]


def test_parts_do_not_run_into_each_other() -> None:
    """Moving a letter from one part to the next gives another id."""
    assert client_id("ab", "c", "d", 1, 2) != client_id("a", "bc", "d", 1, 2)
    assert client_id("a", "b", "c", 12, 3) != client_id("a", "b", "c", 1, 23)


def test_hashes_and_streams_are_equal_in_every_process() -> None:
    """They do not depend on the process or its hash seed."""
    code = "from src.core.rng import *; print(stable_hash(7, 'x'), stream(7, 'slip', 'AAA').random())"
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }

    assert said == {f"{stable_hash(7, 'x')} {stream(7, 'slip', 'AAA').random()}\n"}


def test_each_component_and_symbol_has_a_stream_of_its_own() -> None:
    """Adding a symbol changes no other stream."""
    firsts = {(s, c, y): stream(s, c, y).random() for s in (1, 2) for c in ("a", "b") for y in ("", "AAA")}

    assert len(set(firsts.values())) == 8
    assert np.array_equal(numpy_stream(1, "a").random(4), numpy_stream(1, "a").random(4))
    assert not np.array_equal(numpy_stream(1, "a").random(4), numpy_stream(2, "a").random(4))
