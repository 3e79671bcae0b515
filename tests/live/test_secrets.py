"""Planted keys: they appear in nothing that is written, logged, told or raised."""

import io
import json
import pickle
import sys
import traceback
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.brokers.ccxt_client import CcxtClient, key_names
from src.core.config_file import parse_config
from src.core.errors import BrokerUnavailable, ConfigError
from src.core.sync import start_thread
from src.live.alert_delivery import AppriseDelivery, Message
from src.live.alerts import Alerts
from src.live.config import LiveConfig
from src.live.logs import BotLog
from src.live.notify_section import NotifySection
from src.live.secrets import MASK, Secrets, secret_names

KEY = "pLaNtEdKeY0123456789abcdefABCDEF"
SECRET = 'pLaNtEd"SeCrEt\\9876 /+=ZYX'
ADDRESS = "json://planteduser:plantedpass77@127.0.0.1:1/plantedPath55/x?+token=plantedToken99"
PLANTED = (KEY, SECRET, ADDRESS, "plantedpass77", "plantedPath55", "plantedToken99")
KEY_NAME, SECRET_NAME = key_names("binanceusdm", "demo")
ENVIRONMENT = {KEY_NAME: KEY, SECRET_NAME: SECRET, "LOCKSTEP_NOTIFY_URL": ADDRESS, "HOME": "somewhere"}
NOTIFY = NotifySection.model_validate({"targets": [{"url_env": "LOCKSTEP_NOTIFY_URL", "level": "info"}]})


@pytest.fixture
def secrets() -> Secrets:
    """What the planted environment holds."""
    return Secrets(ENVIRONMENT)


def forms(value: str) -> list[str]:
    """A value as it stands, in JSON and in a repr."""
    return [value, json.dumps(value)[1:-1], repr(value)[1:-1]]


def assert_clean(text: str) -> None:
    """None of the planted values is in a text."""
    found = [value for value in PLANTED if any(form in text for form in forms(value))]
    assert found == []


def test_keys_are_found_by_the_names_of_their_variables() -> None:
    """Keys, secrets and the addresses of targets are taken from the environment, and nothing else is."""
    environ = {
        **ENVIRONMENT,
        "MY_CHAT": "tgram://x",
        "LOCKSTEP_EDITOR": "vi",
        "LOCKSTEP_NOTIFY_LEVEL": "warning",
        "OTHER_SECRET": "of others",
    }

    assert secret_names(environ, ["MY_CHAT", "ABSENT"]) == (
        "LOCKSTEP_BINANCEUSDM_DEMO_KEY", "LOCKSTEP_BINANCEUSDM_DEMO_SECRET", "LOCKSTEP_NOTIFY_URL", "MY_CHAT",
    )  # fmt: skip


def raise_with_keys() -> None:
    """An error whose text, cause and notes hold keys."""
    try:
        raise ValueError(f"headers {{'X-MBX-APIKEY': {KEY!r}}}, secret {SECRET!r}")
    except ValueError as error:
        problem = BrokerUnavailable(f"GET https://venue/order?apiKey={KEY}&signature=ab12 failed at {ADDRESS}")
        problem.add_note(f"asked by {SECRET}")
        raise problem from error


def test_no_planted_key_is_in_anything_that_is_written(secrets: Secrets, tmp_path: Path) -> None:
    """Logs, the terminal, alerts and their file, and the traceback of a thread hold none of the keys."""
    terminal = io.StringIO()
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=secrets, terminal=terminal) as bot_log:
        log = bot_log.log
        log.info(f"began with {KEY}", key=KEY, nested={"secret": SECRET, "list": [ADDRESS, (KEY,)], KEY: 1})
        log.warning("an object", thing=_Thing(), error=ValueError(SECRET), raw=KEY.encode())
        try:
            raise_with_keys()
        except BrokerUnavailable as error:
            log.exception("call failed", why=str(error))
        with bot_log.catching():
            start_thread("careless", raise_with_keys).join()
        alerts = Alerts(
            NOTIFY, AppriseDelivery(NOTIFY, ENVIRONMENT), lambda: 0, path=tmp_path / "alerts.jsonl", secrets=secrets,
            log=log, pauses_s=(60.0,),
        )  # fmt: skip
        alerts.tell("critical", "connection_lost", f"cannot reach {ADDRESS} with {KEY}", key=SECRET)
        alerts.close(within_s=20)

    written = {path.name: path.read_text(encoding="utf-8") for path in sorted(tmp_path.iterdir())}
    assert sorted(written) == ["alerts.jsonl", "bot.log"]
    assert "not delivered" in written["alerts.jsonl"]
    assert "careless" in written["bot.log"]
    assert written["bot.log"].count("Traceback") >= 2
    for text in (*written.values(), terminal.getvalue()):
        assert MASK in text
        assert_clean(text)
    for line in "".join(written.values()).splitlines():
        json.loads(line)


class _Thing:
    def __repr__(self) -> str:
        return f"Thing(secret={SECRET!r})"


def test_the_venue_client_shows_no_key(secrets: Secrets) -> None:
    """The client's repr, its errors and their tracebacks hold no key, masked or not by anybody."""
    client = CcxtClient("binanceusdm", environment="demo", environ=ENVIRONMENT, url="http://127.0.0.1:1")
    client._wait = lambda seconds: None  # the pause between two tries

    with pytest.raises(BrokerUnavailable) as caught:
        client.read("the balance", lambda ccxt: ccxt.fetch_balance())
    client.close()

    assert_clean(repr(client))
    assert_clean("".join(traceback.format_exception(caught.value)))
    assert_clean(secrets.formatted(caught.value))


def test_words_of_a_signed_request_are_masked_whatever_their_value(secrets: Secrets) -> None:
    """Signature, listen key and key header are masked though nobody knows their values."""
    text = (
        "GET /fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature=0a1b2c "
        "POST {'listenKey': 'pqia91ma19a5s61', 'symbol': 'BTCUSDT'} "
        'headers {"X-MBX-APIKEY": "vmPUZE6mv9SD", "User-Agent": "x"} Authorization: Bearer abc.def '
        "proxy http://me:mine@proxy.example"
    )

    assert secrets.masked(text) == (
        "GET /fapi/v1/order?symbol=BTCUSDT&timestamp=1&signature=*** "
        "POST {'listenKey': '***', 'symbol': 'BTCUSDT'} "
        'headers {"X-MBX-APIKEY": "***", "User-Agent": "x"} Authorization: Bearer *** '
        "proxy http://***@proxy.example"
    )


def test_what_is_no_secret_stays(secrets: Secrets) -> None:
    """Ordinary sentences and values are left as they are."""
    event = {"event": "order placed: BTCUSDT at 61,000.5", "order_id": "b1", "volume": 0.1, "flag": None, "key": "b1"}

    assert secrets.clean(event) == event
    assert Secrets(values=["", "abc"]).masked("abc 127.0.0.1 http://venue/") == "abc 127.0.0.1 http://venue/"


def test_a_private_key_of_several_lines_is_masked_line_by_line() -> None:
    """Each long line of a key in PEM form is a secret of its own."""
    secrets = Secrets(
        values=["-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQEF\n-----END PRIVATE KEY-----\n"]
    )

    assert secrets.masked("first MIIEvQIBADANBg then kqhkiG9w0BAQEF") == "first *** then ***"


def test_the_token_in_an_address_is_masked_wherever_it_goes() -> None:
    """What a target's address consists of appears in other addresses, such as the one that is really called."""
    secrets = Secrets(
        {"LOCKSTEP_NOTIFY_PHONE": "tgram://123456789:AAbb_CCddEEff/4242424242/?format=text&key=k%20ey55xx"}
    )

    masked = secrets.masked("POST https://api.telegram.org/bot123456789:AAbb_CCddEEff/send to 4242424242, k ey55xx")

    assert masked == "POST https://api.telegram.org/bot***:***/send to ***, ***"


@settings(max_examples=50)
@given(
    value=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=8),
    wrap=st.sampled_from([str, repr, json.dumps, lambda text: repr({"k": text}), lambda text: json.dumps([text])]),
)
def test_a_secret_is_masked_in_every_form_it_takes(value: str, wrap: object) -> None:
    """Any value is masked as it stands, in a repr and in JSON."""
    assert callable(wrap)
    text = wrap(value)

    masked = Secrets(values=[value]).masked_values(text)

    assert MASK in masked
    assert not Secrets(values=[value]).holds(masked)
    assert value not in masked


def test_secrets_show_nothing_of_themselves(secrets: Secrets) -> None:
    """The repr has a number only, and nobody can pickle them to another process."""
    assert_clean(repr(secrets))
    with pytest.raises(TypeError, match="stay in the process"):
        pickle.dumps(secrets)


def test_a_key_on_the_command_line_is_refused(secrets: Secrets) -> None:
    """A command whose words hold a key is refused with the word's place, since the process list shows it."""
    secrets.check_arguments(["--mode", "live"])
    assert_clean(" ".join(psutil.Process().cmdline()))

    with pytest.raises(ConfigError, match="word 2 of the command") as caught:
        secrets.check_arguments(["--set", f"live.key={KEY}"])
    assert_clean(str(caught.value))


@pytest.mark.parametrize(
    "notify",
    [
        f"'{ADDRESS}'",
        f"['{ADDRESS}']",
        f"{{targets: '{ADDRESS}'}}",
        f"{{targets: ['{ADDRESS}']}}",
        f"{{targets: [{{url_env: '{ADDRESS}'}}]}}",
        f"{{targets: [{{url: '{ADDRESS}'}}]}}",
    ],
)
def test_an_address_in_the_file_is_refused_and_not_repeated(notify: str, tmp_path: Path) -> None:
    """An address where the name of a variable belongs is an error whose text does not hold it."""
    document = parse_config(f"notify: {notify}\n", "bot.yaml", tmp_path)

    with pytest.raises(ConfigError) as caught:
        document.validate(LiveConfig)

    assert "notify" in str(caught.value)
    assert_clean(str(caught.value))


def test_an_address_that_apprise_does_not_know_is_refused_and_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the variable, and neither it nor anything printed holds the address."""
    with pytest.raises(ConfigError, match="LOCKSTEP_NOTIFY_URL") as caught:
        AppriseDelivery(NOTIFY, {"LOCKSTEP_NOTIFY_URL": "nosuch://plantedPath55/plantedToken99"})
    with pytest.raises(ConfigError, match="found none"):
        AppriseDelivery(NOTIFY, {})

    captured = capsys.readouterr()
    assert_clean(str(caught.value) + captured.out + captured.err)


def test_an_error_that_ends_the_program_is_printed_without_keys(
    secrets: Secrets, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What Python prints of an error that nobody has handled is masked, and the error is logged too."""
    with BotLog(tmp_path / "bot.log", lambda: 0, secrets=secrets) as bot_log, bot_log.catching():
        try:
            raise_with_keys()
        except BrokerUnavailable as error:
            sys.excepthook(type(error), error, error.__traceback__)

    printed, logged = capsys.readouterr().err, (tmp_path / "bot.log").read_text(encoding="utf-8")
    assert "BrokerUnavailable" in printed
    assert "BrokerUnavailable" in logged
    assert_clean(printed + logged)


def test_a_message_to_nobody_is_an_error_without_the_address() -> None:
    """A delivery that fails says so, and the bot's mask takes out what apprise says of the address."""
    delivery = AppriseDelivery(NOTIFY, ENVIRONMENT)

    with pytest.raises(Exception, match="LOCKSTEP_NOTIFY_URL") as caught:
        delivery("LOCKSTEP_NOTIFY_URL", Message(title="t", body="b", level="info", over=False))

    assert_clean(Secrets(ENVIRONMENT).formatted(caught.value))
