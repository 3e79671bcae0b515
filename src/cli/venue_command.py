"""`venue`: an exchange on this machine over the market of a configuration, to try paper and live on without an account.

Runs in the main thread; requests are answered by threads of the venue.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from src.backtesting.config import BacktestConfig
from src.brokers.ccxt_client import key_names
from src.cli.options import ConfigOption, DebugOption, JsonOption, QuietOption, SetOption, output_of
from src.cli.output import Output
from src.core.config_file import ConfigDocument, read_config
from src.core.errors import ConfigError
from src.core.program import command
from src.core.sync import Event, on_interrupt
from src.core.timeframe import format_instant, parse_instant
from src.core.words import counted
from src.live.config import LiveConfig, LiveSection, PaperSection
from src.testing.venue import KEY, SECRET, LocalVenue
from src.testing.venue_run import venue_of

__all__ = ["venue_command"]

_PORT = 8787
_HERE = ("127.0.0.1", "localhost")
_LOOK_S = 0.2
EXCHANGE, ENVIRONMENT = "binanceusdm", "demo"


def venue_command(
    context: typer.Context,
    config: ConfigOption,
    overrides: SetOption = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help=f"By default that of live.url, or {_PORT}.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option("--speed", help="Seconds of the market in one; by default live.speed.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="INSTANT", help="Its time at first; by default backtest.start.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    debug: DebugOption = False,
) -> int:
    """Serve the market of a configuration as an exchange on this machine, until Ctrl-C or the end of the market.

    The bot trades there with --mode paper or --mode live in another terminal. Time begins with the first request.
    """
    out = output_of(context, as_json, quiet, debug)
    document = read_config(config, overrides)
    settings = document.validate(BacktestConfig)
    url_port, url_speed = _told(document)
    pace = url_speed if speed is None else speed
    if not 0 < pace <= 10_000:
        raise ConfigError(f"--speed: expected a pace above 0 and at most 10000, found {pace:g}", found=pace)
    start_ns = None if start is None else parse_instant(start)
    venue = venue_of(settings, document.folder, speed=pace, start_ns=start_ns, port=port or url_port)
    with ExitStack() as stack:
        try:
            stack.enter_context(venue)
        except OSError as error:
            raise ConfigError(
                f"expected the port {port or url_port} to be free, found {error.strerror}; end what is there, or give "
                "another one with --port and write it into live.url and paper.url"
            ) from None
        ended = Event()
        with on_interrupt(ended.set):
            _announce(venue, settings, document, config, pace, out)
            while not ended.wait(_LOOK_S) and venue.now_ns() < venue.end_ns:
                continue
    out.say(f"ended at {format_instant(venue.now_ns())} after {counted(len(venue.calls), 'request')}")
    out.result({"url": venue.url, "calls": len(venue.calls), "ended_ns": venue.now_ns(), "exit_code": 0})
    return 0


def _told(document: ConfigDocument) -> tuple[int, float]:
    """Port and pace that the configuration expects a venue of this machine to have."""
    found = document.validate(LiveConfig)
    for section in (found.live, found.paper):
        if section is not None and section.url is not None:
            address = urlsplit(section.url)
            if address.hostname in _HERE:
                return address.port or 80, section.speed
    return _PORT, 1.0


def _announce(
    venue: LocalVenue, settings: BacktestConfig, document: ConfigDocument, path: Path, pace: float, out: Output
) -> None:  # fmt: skip
    key, secret = key_names(EXCHANGE, ENVIRONMENT)
    out.say(f"{venue.url} speaks as {EXCHANGE}: {', '.join(settings.symbols)}, {pace:g} seconds of the market in one")
    out.say(f"  its time is {format_instant(venue.now_ns())} until the first request, its market ends at "
            f"{format_instant(venue.end_ns)}")  # fmt: skip
    out.say("in another terminal:")
    out.say(f"  export {key}={KEY}")
    out.say(f"  export {secret}={SECRET}")
    found = document.validate(LiveConfig)
    for mode, section in (("paper", found.paper or PaperSection()), ("live", found.live)):
        settings_needed = _settings_of(mode, section, venue.url, pace)
        out.say(f"  {command('--mode', mode, '--config', path.as_posix(), *settings_needed)}")
    out.say("Ctrl-C ends it")


def _settings_of(mode: str, section: LiveSection | PaperSection | None, url: str, pace: float) -> list[str]:
    """The overrides without which the bot would not come here, or not at its pace."""
    needed: dict[str, str] = {}
    if section is None or section.exchange is None:
        needed["exchange"] = EXCHANGE
    if section is None:
        needed["environment"] = ENVIRONMENT
    if section is None or (section.url or "").rstrip("/") != url:
        needed["url"] = url
    if section is None or section.speed != pace:
        needed["speed"] = f"{pace:g}"
    return [word for key, value in needed.items() for word in ("--set", f"{mode}.{key}={value}")]
