"""A file of bars is understood, asked about, or refused with its line; it is stored whole or not at all."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from src.core.errors import ConfigError, DataError
from src.core.timeframe import DAY_NS, MINUTE_NS, parse_instant
from src.data.import_plan import default_source
from src.data.importing import ImportAnswers, ImportPlan, inspect_file, run_import
from src.data.store import HistoricalDataStore

COMPLETE = ImportAnswers(symbol="EURUSD", kind="fx", zone="UTC", stamp="open", price="bid")
PLAIN = """timestamp,open,high,low,close,volume
2024-01-02 00:00,1.5,2.5,1.0,2.0,10
2024-01-02 00:01,2.0,2.0,1.5,1.5,0
2024-01-02 00:03,1.5,3.0,1.5,2.5,7.5
"""


def put(folder: Path, text: str, name: str = "EURUSD_m1.csv") -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def bars_of(plan: ImportPlan) -> list[tuple[int, float, float, float, float, float]]:
    """The bars of a complete plan."""
    series = plan.require_complete()
    columns = (series.open_ns, series.open, series.high, series.low, series.close, series.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))


NIGHT_NS = parse_instant("2024-01-02")
EXPECTED = [
    (NIGHT_NS, 1.5, 2.5, 1.0, 2.0, 10.0),
    (NIGHT_NS + MINUTE_NS, 2.0, 2.0, 1.5, 1.5, 0.0),
    (NIGHT_NS + 3 * MINUTE_NS, 1.5, 3.0, 1.5, 2.5, 7.5),
]
HEADERS = {
    "capitals": ("csv", PLAIN.replace("timestamp,open,high,low,close,volume", "Date,Open,High,Low,Close,Volume")),
    "ts": ("csv", PLAIN.replace("timestamp", "ts")),
    "datetime": ("csv", PLAIN.replace("timestamp", "datetime")),
    "time": ("csv", PLAIN.replace("timestamp", "time")),
    "semicolons": ("csv", PLAIN.replace(",", ";")),
    "tabs and blank lines": ("csv", PLAIN.replace(",", "\t").replace("\n", "\n\n")),
    "windows line ends and a mark of byte order": ("csv", "\ufeff" + PLAIN.replace("\n", "\r\n")),
    "quotes": ("csv", PLAIN.replace("2024-01-02 00:00", '"2024-01-02 00:00"')),
    "ISO with T and Z": ("csv", PLAIN.replace(" 00:0", "T00:0").replace(":00,", ":00:00Z,").replace(
        ":01,", ":01:00Z,").replace(":03,", ":03:00Z,")),
    "ISO with an offset": ("csv", PLAIN.replace("02 00:00", "02 02:00+02:00").replace(
        "02 00:01", "01 19:01-05:00").replace("02 00:03", "02 00:03+00:00")),
    "ccxt": ("ccxt", "timestamp,open,high,low,close,volume\n1704153600000,1.5,2.5,1.0,2.0,10\n"
             "1704153660000,2.0,2.0,1.5,1.5,0\n1704153780000,1.5,3.0,1.5,2.5,7.5\n"),
    "epoch seconds": ("csv", "unix,open,high,low,close,volume\n1704153600,1.5,2.5,1.0,2.0,10\n"
                      "1704153660.0,2.0,2.0,1.5,1.5,0\n1704153780,1.5,3.0,1.5,2.5,7.5\n"),
    "epoch microseconds": ("csv", "time,open,high,low,close,volume\n1704153600000000,1.5,2.5,1.0,2.0,10\n"
                           "1704153660000000,2.0,2.0,1.5,1.5,0\n1704153780000000,1.5,3.0,1.5,2.5,7.5\n"),
    "epoch nanoseconds": ("csv", "time,open,high,low,close,volume\n1704153600000000000,1.5,2.5,1.0,2.0,10\n"
                          "1704153660000000000,2.0,2.0,1.5,1.5,0\n1704153780000000000,1.5,3.0,1.5,2.5,7.5\n"),
    "metatrader": ("metatrader", "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
                   "2024.01.02\t00:00:00\t1.5\t2.5\t1.0\t2.0\t10\t0\t3\n"
                   "2024.01.02\t00:01:00\t2.0\t2.0\t1.5\t1.5\t0\t0\t3\n"
                   "2024.01.02\t00:03:00\t1.5\t3.0\t1.5\t2.5\t7.5\t0\t3\n"),
    "metatrader without header": ("metatrader", "2024.01.02,00:00,1.5,2.5,1.0,2.0,10\n"
                                  "2024.01.02,00:01,2.0,2.0,1.5,1.5,0\n2024.01.02,00:03,1.5,3.0,1.5,2.5,7.5\n"),
    "histdata": ("histdata", "20240102 000000;1.5;2.5;1.0;2.0;10\n20240102 000100;2.0;2.0;1.5;1.5;0\n"
                 "20240102 000300;1.5;3.0;1.5;2.5;7.5\n"),
    "yahoo": ("yahoo", PLAIN.replace("timestamp,open,high,low,close", "Date,Open,High,Low,Close,Adj Close")
              .replace("2.0,10", "2.0,9,10").replace("1.5,0", "1.5,9,0").replace("2.5,7.5", "2.5,9,7.5")),
    "binance": ("binance", "1704153600000,1.5,2.5,1.0,2.0,10,1704153659999,1,2,3,4,0\n"
                "1704153660000,2.0,2.0,1.5,1.5,0,1704153719999,1,2,3,4,0\n"
                "1704153780000,1.5,3.0,1.5,2.5,7.5,1704153839999,1,2,3,4,0\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_common_layouts_are_understood(tmp_path: Path, name: str) -> None:
    """The same three bars in each layout are the same series."""
    layout, text = HEADERS[name]

    plan = inspect_file(put(tmp_path, text), COMPLETE)

    assert (plan.questions, plan.layout, plan.settled["timeframe"]) == ((), layout, "1m")
    assert bars_of(plan) == EXPECTED


def test_text_in_utf16_is_read(tmp_path: Path) -> None:
    """Some terminals export their bars in UTF-16."""
    path = tmp_path / "a.csv"
    path.write_text(PLAIN, encoding="utf-16")

    assert bars_of(inspect_file(path, COMPLETE)) == EXPECTED


@pytest.mark.parametrize(
    ("name", "note"),
    [("yahoo", "ignored: Adj Close"), ("metatrader", "ignored: <VOL>, <SPREAD>")],
)
def test_what_is_left_out_is_said(tmp_path: Path, name: str, note: str) -> None:
    """A column that is not stored is named."""
    assert note in inspect_file(put(tmp_path, HEADERS[name][1]), COMPLETE).notes


def test_a_file_without_volumes_is_taken_and_says_so(tmp_path: Path) -> None:
    """Volume is the one column that may be missing."""
    plan = inspect_file(put(tmp_path, "ts,open,high,low,close\n2024-01-02,1,2,1,2\n2024-01-03,1,2,1,2\n"), COMPLETE)

    assert plan.notes == ("there is no volume column: every volume is 0",)
    assert [row[-1] for row in bars_of(plan)] == [0.0, 0.0]
    assert plan.settled["timeframe"] == "1d"


def test_what_a_file_cannot_say_is_asked_in_one_go(tmp_path: Path) -> None:
    """All open questions come at once, with choices and suggestions, and a command that answers them."""
    plan = inspect_file(put(tmp_path, HEADERS["histdata"][1], "DAT_ASCII_EURUSD_M1_201701.csv"), ImportAnswers())

    assert [(question.key, question.choices, question.default) for question in plan.questions] == [
        ("symbol", (), "EURUSD"),
        ("kind", ("fx", "crypto", "equity"), "fx"),
        ("zone", (), "America/New_York"),
        ("stamp", ("open", "close"), "open"),
        ("price", ("bid", "ask", "mid", "trade"), "bid"),
    ]
    assert plan.command.startswith("lockstep data import ")
    assert plan.command.endswith(
        "DAT_ASCII_EURUSD_M1_201701.csv --symbol EURUSD --kind fx --zone America/New_York --stamp open --price bid"
    )


@pytest.mark.parametrize(
    ("name", "zone"), [("XAUUSD_M1.csv", "Europe/Helsinki"), ("DAT_MT_EURUSD_M1_2017.csv", "America/New_York")]
)
def test_the_suggested_zone_is_that_of_who_made_the_file(tmp_path: Path, name: str, zone: str) -> None:
    """MetaTrader's servers mostly follow Eastern European time; HistData's files in its layout follow New York's."""
    plan = inspect_file(put(tmp_path, HEADERS["metatrader without header"][1], name), ImportAnswers())

    assert [question.default for question in plan.questions if question.key == "zone"] == [zone]


def test_a_plan_with_open_questions_is_not_run(tmp_path: Path, store: HistoricalDataStore) -> None:
    """The refusal lists every question and the whole command, with the given answers in it; nothing is stored."""
    plan = inspect_file(put(tmp_path, PLAIN), ImportAnswers(symbol="BTCUSDT", stamp="close"))

    with pytest.raises(ConfigError) as raised:
        run_import(plan, store)

    for part in ("--kind: ", "--zone: ", "--price: ", "--symbol BTCUSDT --kind crypto --zone UTC --stamp close "):
        assert part in raised.value.message
    assert raised.value.questions == ["kind", "zone", "price"]
    assert store.list_series() == []


def test_the_preview_shows_the_first_rows_as_understood(tmp_path: Path) -> None:
    """With open questions the preview follows their suggestions; with answers, the answers."""
    path = put(tmp_path, HEADERS["histdata"][1])

    suggested = inspect_file(path, ImportAnswers()).preview
    answered = inspect_file(path, ImportAnswers(zone="UTC", stamp="close")).preview

    assert [row.open_ns for row in suggested] == [at_ns + 5 * 60 * MINUTE_NS for at_ns, *_ in EXPECTED]
    assert [row.open_ns for row in answered] == [at_ns - MINUTE_NS for at_ns, *_ in EXPECTED]
    first = suggested[0]
    assert (first.line, first.open, first.high, first.low, first.close, first.volume) == (1, 1.5, 2.5, 1.0, 2.0, 10.0)


def test_answers_complete_a_plan(tmp_path: Path) -> None:
    """Taking the suggestions of all questions leaves none."""
    path = put(tmp_path, PLAIN)
    plan = inspect_file(path, ImportAnswers())

    answers = plan.answers.having({question.key: question.default or "" for question in plan.questions})

    assert inspect_file(path, answers).questions == ()


def test_an_import_stores_bars_instrument_and_log(tmp_path: Path, store: HistoricalDataStore) -> None:
    """The report says what was stored, and the store knows it; a second run adds nothing."""
    plan = inspect_file(put(tmp_path, PLAIN), COMPLETE)

    first, second = run_import(plan, store), run_import(plan, store)

    assert (first.rows, first.written, second.written) == (3, 3, 0)
    assert (first.symbol, first.price_side, first.source, first.first_ns) == ("EURUSD", "bid", "EURUSD", NIGHT_NS)
    assert first.instrument == store.read_instrument("EURUSD")
    assert first.instrument["calendar"] == "forex"
    (info,) = store.list_series()
    assert (info.kind, info.source, info.price_side, info.bars) == ("fx", "EURUSD", "bid", 3)
    assert [(line["file"], line["written"], line["zone"]) for line in store.read_import_log()] == [
        ("EURUSD_m1.csv", 3, "UTC"), ("EURUSD_m1.csv", 0, "UTC"),
    ]  # fmt: skip


def test_an_import_that_does_not_fit_changes_nothing(tmp_path: Path, store: HistoricalDataStore) -> None:
    """A conflicting bar in a second file: neither its bars nor its log line are stored."""
    run_import(inspect_file(put(tmp_path, PLAIN), COMPLETE), store)
    other = put(tmp_path, PLAIN.replace("7.5", "8.5").replace("2024-01-02 00:01", "2024-01-02 00:02"), "EURUSD_2.csv")

    with pytest.raises(DataError, match=r"00:03:00Z is stored with volume 7\.5"):
        run_import(inspect_file(other, COMPLETE), store)

    assert (store.list_series()[0].bars, len(store.read_import_log())) == (3, 1)


def test_files_of_one_series_may_come_in_any_order(tmp_path: Path, store: HistoricalDataStore) -> None:
    """Monthly files of one vendor merge into one series."""
    later = put(tmp_path, PLAIN.replace("2024-01-02", "2024-02-02"), "bars_2024-02.csv")

    for path in (later, put(tmp_path, PLAIN, "bars_2024-01.csv")):
        run_import(inspect_file(path, COMPLETE), store)

    assert store.list_series()[0].bars == 6
    assert store.read_bars("EURUSD", MINUTE_NS, end_ns=NIGHT_NS + DAY_NS).open_ns.tolist() == [e[0] for e in EXPECTED]


def test_plain_files_with_other_names_are_of_other_origins(tmp_path: Path, store: HistoricalDataStore) -> None:
    """They are not joined unasked; the sentence says how to say that they are of one origin."""
    later = put(tmp_path, PLAIN.replace("2024-01-02", "2024-02-02"), "other.csv")
    run_import(inspect_file(put(tmp_path, PLAIN), COMPLETE), store)

    with pytest.raises(DataError, match="with the source 'EURUSD' and comes now with 'other'.*--source EURUSD"):
        run_import(inspect_file(later, COMPLETE), store)
    run_import(inspect_file(later, COMPLETE.having({"source": "EURUSD"})), store)

    assert store.list_series()[0].bars == 6


@pytest.mark.parametrize(
    ("layout", "place", "name"),
    [
        ("parquet", "lean_oanda_EURUSD_1m_bidask_2014-05.parquet", "lean_oanda_EURUSD_bidask"),
        ("parquet", "bars-2024-01.parquet", "bars"),
        ("csv", "my vendor/2024-01.csv", "my_vendor"),
        ("csv", "prices.csv", "prices"),
        ("metatrader", "prices.csv", "metatrader"),
    ],
)
def test_the_origin_of_a_file_has_a_name_by_itself(tmp_path: Path, layout: str, place: str, name: str) -> None:
    """The vendor's where the layout tells it; else the words of the file's name, or of its folder's."""
    assert default_source(layout, tmp_path / place) == name


def rows(*lines: str) -> str:
    """A CSV with the plain header."""
    return "\n".join(["timestamp,open,high,low,close,volume", *lines, ""])


GOOD = "2024-01-02 00:00,1,2,1,2,5"
BAD_FILES = {
    "no number": (rows(GOOD, "2024-01-02 00:01,1,x,1,2,5"), "line 3: expected a number as high, found 'x'"),
    "an empty field": (rows(GOOD, "2024-01-02 00:01,1,2,,2,5"), "line 3: expected a number as low, found ''"),
    "not a number": (rows(GOOD, "2024-01-02 00:01,1,2,1,nan,5"), "line 3: expected a number as close, found nan"),
    "zero": (rows(GOOD, "2024-01-02 00:01,1,2,0,2,5"), "line 3: expected a price above zero as low, found 0.0"),
    "negative": (rows(GOOD, "2024-01-02 00:01,-1,2,1,2,5"), "line 3: expected a price above zero as open, found -1.0"),
    "volume": (rows(GOOD, "2024-01-02 00:01,1,2,1,2,-5"), "line 3: expected a volume of 0 or more, found -5.0"),
    "high below low": (
        rows(GOOD, "2024-01-02 00:01,1.5,1,2,1.5,5"),
        "line 3: expected high at or above low, found high 1.0 and low 2.0",
    ),
    "close above high": (rows(GOOD, "2024-01-02 00:01,1,2,1,3,5"), "line 3: expected open and close between low and"),
    "the first of two faults": (
        rows(GOOD, "2024-01-02 00:01,1,2,1,3,5", "2024-01-02 00:02,0,2,1,2,5"),
        "line 3: expected open and close",
    ),
    "duplicate": (rows(GOOD, GOOD), "line 3: expected each stamp once, found 2024-01-02 00:00:00Z again"),
    "unsorted": (
        rows(GOOD, "2024-01-02 00:01,1,2,1,2,5", "2024-01-01 23:59,1,2,1,2,5"),
        "line 4: expected rows in time order, found 2024-01-01 23:59:00Z after 2024-01-02 00:01:00Z",
    ),
    "no time": (rows(GOOD, "yesterday,1,2,1,2,5"), "line 3: expected a time such as .* found 'yesterday'"),
    "day first": (rows("31/01/2024 00:00,1,2,1,2,5"), "line 2: expected a time such as .* found '31/01/2024 00:00'"),
    "half of the offsets": (rows(GOOD, "2024-01-02 00:01Z,1,2,1,2,5"), "line 3: expected no offset as in the rows"),
    "mixed units": (
        rows("1704153600000,1,2,1,2,5", "1704153660,1,2,1,2,5", "1704153720000000,1,2,1,2,5"),
        "line 4: expected a number in the unit of the first row|line 3: expected rows in time order",
    ),
    "short row": (rows(GOOD, "2024-01-02 00:01,1,2,1,2"), "line 3: expected 6 fields as in the first line, found 5"),
    "seconds": (
        rows(GOOD, "2024-01-02 00:00:01,1,2,1,2,5"),
        "expected bars of whole minutes, found a step of 1s between most rows",
    ),
    "missing column": (
        "timestamp,open,low,close\n1,1,1,1\n",
        "line 1: expected columns for high, found timestamp, open, low, close; a header such as",
    ),
    "no time column": ("open,high,low,close\n1,1,1,1\n", "expected columns for time, found"),
    "unknown without header": ("1,2,3,4,5\n", "line 1: expected a header such as .*, found numbers"),
    "empty": ("", "is empty; expected a CSV or Parquet file"),
    "blank": ("\n \n", "is empty"),
    "header alone": ("timestamp,open,high,low,close,volume\n", "has a header and no rows"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_input_gets_one_sentence_with_its_line(tmp_path: Path, name: str) -> None:
    """File, line, what was expected and what was found; error code of bad usage."""
    text, sentence = BAD_FILES[name]

    with pytest.raises(DataError, match=sentence) as raised:
        inspect_file(put(tmp_path, text), COMPLETE)

    assert str(tmp_path / "EURUSD_m1.csv") in raised.value.message
    assert "\n" not in raised.value.message
    assert raised.value.exit_code == 2


def test_faults_are_named_before_all_questions_are_answered(tmp_path: Path) -> None:
    """Nobody answers five questions to learn then that the file is unsorted."""
    text = rows("2024-01-02 00:01Z,1,2,1,2,5", "2024-01-02 00:00Z,1,2,1,2,5")

    with pytest.raises(DataError, match="line 3: expected rows in time order"):
        inspect_file(put(tmp_path, text), ImportAnswers())


def test_a_suggested_zone_in_which_a_time_does_not_exist_is_no_fault(tmp_path: Path) -> None:
    """The zone is only a suggestion: without an answer there is no preview and no refusal."""
    text = "20170312 023000;1;2;1;2;5\n20170312 023100;1;2;1;2;5\n"

    plan = inspect_file(put(tmp_path, text), ImportAnswers())

    assert plan.preview == ()
    with pytest.raises(DataError, match="line 1: the local time 2017-03-12 02:30:00 does not exist"):
        inspect_file(put(tmp_path, text), ImportAnswers(zone="America/New_York"))


def test_bars_closer_than_their_length_are_refused(tmp_path: Path) -> None:
    """A row inside the bar before it is a fault of the file, or of the stated timeframe."""
    text = rows(GOOD, "2024-01-02 00:05,1,2,1,2,5", "2024-01-02 00:10,1,2,1,2,5", "2024-01-02 00:11,1,2,1,2,5")

    with pytest.raises(DataError, match="line 5: expected bars of 5m, found one at 2024-01-02 00:11:00Z only 1m after"):
        inspect_file(put(tmp_path, text), COMPLETE)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """An absent file, a folder, and bytes that are no text."""
    binary = tmp_path / "b.csv"
    binary.write_bytes(b"timestamp\x80\x81\xff\n")
    broken = tmp_path / "b.parquet"
    broken.write_bytes(b"PAR1 and nothing else")

    for path, sentence in (
        (tmp_path / "none.csv", "does not exist"),
        (tmp_path, "is a folder"),
        (binary, "neither Parquet nor text in UTF-8"),
        (broken, "cannot be read as Parquet"),
    ):
        with pytest.raises(DataError, match=sentence):
            inspect_file(path, COMPLETE)


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (ImportAnswers(kind="forex"), "--kind: expected one of fx, crypto, equity, found 'forex'"),
        (ImportAnswers(stamp="middle"), "--stamp: expected one of open, close"),
        (ImportAnswers(price="last"), "--price: expected one of bid, ask, mid, trade"),
        (ImportAnswers(zone="Mars/Olympus"), "zone: expected a name such as UTC"),
        (ImportAnswers(timeframe="90s"), "expected a timeframe of whole minutes"),
        (ImportAnswers(symbol=" "), "--symbol: expected a name"),
    ],
)
def test_an_answer_outside_its_choices_is_refused(tmp_path: Path, answers: ImportAnswers, sentence: str) -> None:
    """The option, its choices and what was found."""
    with pytest.raises(ConfigError, match=sentence):
        inspect_file(put(tmp_path, PLAIN), answers)


def test_one_row_does_not_tell_its_timeframe(tmp_path: Path) -> None:
    """With a single bar the length is asked; an answer settles it."""
    path = put(tmp_path, rows(GOOD))

    assert [question.key for question in inspect_file(path, COMPLETE).questions] == ["timeframe"]
    assert inspect_file(path, COMPLETE.having({"timeframe": "1h"})).require_complete().timeframe_ns == 60 * MINUTE_NS


def test_a_zone_that_is_not_needed_is_not_used(tmp_path: Path) -> None:
    """Stamps that are instants stay what they are, and that is said."""
    plan = inspect_file(put(tmp_path, HEADERS["ccxt"][1]), COMPLETE.having({"zone": "Asia/Tokyo"}))

    assert bars_of(plan) == EXPECTED
    assert "the zone Asia/Tokyo is not needed: the stamps are instants already" in plan.notes


def test_daily_bars_of_a_zone_survive_the_change_of_clocks(tmp_path: Path) -> None:
    """A local day of 23 hours in March is no overlap."""
    text = rows("2024-03-09,1,2,1,2,5", "2024-03-10,1,2,1,2,5", "2024-03-11,1,2,1,2,5")

    plan = inspect_file(put(tmp_path, text), COMPLETE.having({"zone": "America/New_York"}))

    assert [row[0] for row in bars_of(plan)] == [
        parse_instant(text) for text in ("2024-03-09T05:00Z", "2024-03-10T05:00Z", "2024-03-11T04:00Z")
    ]


# ---------------------------------------------------------------------------------------------------------- Parquet


def parquet(folder: Path, stamps: pa.Array, **more: pa.Array) -> Path:
    """Three bars with these stamps."""
    path = folder / "EURUSD.parquet"
    columns = {
        "ts": stamps, "open": [1.5, 2.0, 1.5], "high": [2.5, 2.0, 3.0], "low": [1.0, 1.5, 1.5],
        "close": [2.0, 1.5, 2.5], "volume": [10.0, 0.0, 7.5],
    }  # fmt: skip
    pq.write_table(pa.table(columns | more), path)
    return path


MOMENTS = [dt.datetime(2024, 1, 2, 0, minute) for minute in (0, 1, 3)]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", None])
def test_parquet_times_of_every_unit_are_instants(tmp_path: Path, unit: str, zone: str | None) -> None:
    """A column with a zone holds instants and asks nothing; one without asks for the zone."""
    moments = MOMENTS if zone is None else [moment.replace(tzinfo=dt.UTC) for moment in MOMENTS]
    path = parquet(tmp_path, pa.array(moments, pa.timestamp(unit, zone)))

    plan = inspect_file(path, ImportAnswers(symbol="EURUSD", kind="fx", stamp="open", price="bid"))

    assert [question.key for question in plan.questions] == ([] if zone else ["zone"])
    assert bars_of(inspect_file(path, COMPLETE)) == EXPECTED


def test_parquet_numbers_and_texts_are_read_as_in_a_csv(tmp_path: Path) -> None:
    """Epoch numbers and ISO texts as time columns."""
    epochs = parquet(tmp_path, pa.array([at_ns // 1_000_000 for at_ns, *_ in EXPECTED]))
    found = bars_of(inspect_file(epochs, COMPLETE))
    texts = parquet(tmp_path, pa.array([moment.isoformat() for moment in MOMENTS]))

    assert found == bars_of(inspect_file(texts, COMPLETE)) == EXPECTED


def test_a_parquet_row_without_a_value_is_named(tmp_path: Path) -> None:
    """A null is refused with its row; so is a column of another type."""
    stamps = pa.array(MOMENTS, pa.timestamp("us", "UTC"))

    with pytest.raises(DataError, match="row 2: expected a value as close, found none"):
        inspect_file(parquet(tmp_path, stamps, close=pa.array([2.0, None, 2.5])), COMPLETE)
    with pytest.raises(DataError, match="expected numbers in the column close"):
        inspect_file(parquet(tmp_path, stamps, close=pa.array(["a", "b", "c"])), COMPLETE)


def test_of_a_file_with_several_symbols_one_is_chosen(tmp_path: Path) -> None:
    """Without a choice the symbols are the choices of a question; a wrong one is refused with the right ones."""
    path = put(
        tmp_path,
        "ts,symbol,open,high,low,close,volume\n2024-01-02 00:00,AIG,1,2,1,2,5\n2024-01-02 00:00,IBM,3,4,3,4,6\n"
        "2024-01-02 00:01,AIG,1,2,1,2,7\n",
    )
    complete = COMPLETE.having({"kind": "equity", "price": "trade"})

    asked = inspect_file(path, ImportAnswers(kind="equity"))
    chosen = inspect_file(path, complete.having({"symbol": "AIG"}))

    assert [question.choices for question in asked.questions if question.key == "symbol"] == [("AIG", "IBM")]
    assert asked.preview == ()
    assert [row[-1] for row in bars_of(chosen)] == [5.0, 7.0]
    with pytest.raises(DataError, match="expected rows of EURUSD, found AIG, IBM"):
        inspect_file(path, complete)


# -------------------------------------------------------------------------------------------------------- recorded


@pytest.mark.real_data
def test_recorded_bars_are_imported(real_data_dir: Path, store: HistoricalDataStore) -> None:
    """Real exchange and forex files come in with nothing asked but what no file says."""
    crypto = ImportAnswers(symbol="EOSUSD", kind="crypto", stamp="open", price="trade")
    forex = ImportAnswers(symbol="EURUSD", kind="fx", stamp="open", price="bid")

    run_import(inspect_file(real_data_dir / "bitfinex_EOSUSD_1m_2019-05_2019-07.parquet", crypto), store)
    run_import(inspect_file(real_data_dir / "histdata_EURUSD_1m_bid_2017H1.parquet", forex), store)

    assert [(info.symbol, info.bars, info.price_side) for info in store.list_series()] == [
        ("EOSUSD", 104536, "trade"),
        ("EURUSD", 186348, "bid"),
    ]
