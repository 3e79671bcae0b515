"""The symbols of a synthetic market: what each is like, and plausible defaults for a name and a class of instrument.

Pure; any thread. A default is a function of name, class and calendar alone, so that the same configuration gives the
same market everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from src.core.errors import ConfigError
from src.core.rng import stable_hash
from src.data.instruments import defaults_for

__all__ = ["KINDS", "SyntheticSymbol", "class_of", "default_symbol", "within"]

KINDS = ("crypto", "fx", "equity")


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSymbol:
    """One symbol of a synthetic market.

    Attributes:
        symbol: its name; its random streams hang on it and on the seed.
        start_price: at the start of the window.
        tick: prices are whole multiples of it.
        volatility_bp: usual standard deviation of a one-minute log return, in basis points.
        common_share: share of its variance that is the common factor's, 0 to 1.
        unchanged_share: about the share of minutes that trade at the last price alone; rounding to ticks adds to it.
        absent_share: about the share of minutes without a trade, hence without a bar.
        bounce_bp: standard deviation of the first trade of a minute around the walk, in basis points.
        volume: about the mean volume of a minute, in units of the symbol.
        volume_step: volumes are whole multiples of it.
        kind: crypto, fx or equity. It decides the profile of the day; bars of fx are bars of the bid.
        calendar: when it trades, as an instrument names it; there are bars only inside its sessions.
        closed_volatility: what is left of its volatility while its calendar is closed, as a factor: the gaps.
        spread_bp: the usual spread of its quotes, in basis points; bars do not depend on it.

    Raises:
        ConfigError: a number is outside its range.
    """

    symbol: str
    start_price: float
    tick: float
    volatility_bp: float
    common_share: float = 0.82
    unchanged_share: float = 0.05
    absent_share: float = 0.003
    bounce_bp: float = 1.0
    volume: float = 10.0
    volume_step: float = 0.001
    kind: str = "crypto"
    calendar: str = "24/7"
    closed_volatility: float = 0.2
    spread_bp: float = 1.0

    def __post_init__(self) -> None:
        what = f"synthetic symbol {self.symbol!r}"
        if self.kind not in KINDS:
            raise ConfigError(f"expected kind of {what} among {', '.join(KINDS)}, found {self.kind!r}", found=self.kind)
        within(what, "volatility_bp", self.volatility_bp, 0.01, 1000.0)
        within(what, "common_share", self.common_share, 0.0, 1.0)
        within(what, "unchanged_share", self.unchanged_share, 0.0, 0.9)
        within(what, "absent_share", self.absent_share, 0.0, 0.9)
        within(what, "bounce_bp", self.bounce_bp, 0.0, 100.0)
        within(what, "closed_volatility", self.closed_volatility, 0.001, 10.0)
        within(what, "spread_bp", self.spread_bp, 0.0, 1000.0)
        for name in ("tick", "volume_step"):
            within(what, name, getattr(self, name), 1e-12, 1e12)
        within(what, "start_price", self.start_price, self.tick, self.tick * 1e12)
        within(what, "volume", self.volume, self.volume_step, self.volume_step * 1e12)

    @property
    def price_side(self) -> str:
        """Which price its bars are made of: `bid` where dealers quote and nobody reports trades, otherwise `trade`."""
        return "bid" if self.kind == "fx" else "trade"


def class_of(kind: str) -> str:
    """As what an instrument of a kind (`spot`, `perpetual`, `fx`, `equity`) trades: coins trade as crypto does."""
    return kind if kind in KINDS else "crypto"


def within(what: str, name: str, value: float, low: float, high: float) -> None:
    """Raise ConfigError, with `name` in the sentence, unless `value` lies in `[low, high]`."""
    if not low <= value <= high:
        raise ConfigError(
            f"expected {name} of {what} between {low:g} and {high:g}, found {value!r}; correct it", found=value
        )


_CRYPTO = {
    "BTCUSDT": SyntheticSymbol(
        symbol="BTCUSDT", start_price=42_000.0, tick=0.1, volatility_bp=13.5, common_share=0.88, unchanged_share=0.075,
        absent_share=0.002, bounce_bp=0.8, volume=12.0, volume_step=0.001,
    ),
    "ETHUSDT": SyntheticSymbol(
        symbol="ETHUSDT", start_price=2_300.0, tick=0.01, volatility_bp=14.5, common_share=0.86, unchanged_share=0.065,
        absent_share=0.003, bounce_bp=1.2, volume=160.0, volume_step=0.001,
    ),
    "XRPUSDT": SyntheticSymbol(
        symbol="XRPUSDT", start_price=0.62, tick=0.00001, volatility_bp=15.2, common_share=0.78, unchanged_share=0.055,
        absent_share=0.005, bounce_bp=1.5, volume=90_000.0, volume_step=0.1,
    ),
}  # fmt: skip

# Start price, volatility in basis points a minute, usual spread in basis points.
_FX = {
    "EURUSD": (1.10, 1.15, 0.5),
    "GBPUSD": (1.27, 1.25, 0.6),
    "USDJPY": (150.0, 1.25, 0.5),
    "AUDUSD": (0.66, 1.4, 0.8),
    "NZDUSD": (0.61, 1.45, 1.0),
    "USDCHF": (0.88, 1.2, 0.8),
    "USDCAD": (1.35, 1.1, 0.7),
    "XAUUSD": (2000.0, 2.2, 2.0),
}

# A price of fewer ticks than about this stands still most of the time.
_LEAST_TICKS = 10_000.0

_CALENDARS = {"crypto": "24/7", "fx": "forex", "equity": "XNYS"}


def default_symbol(
    name: str, *, kind: str = "crypto", calendar: str | None = None, tick: float = 0.0
) -> SyntheticSymbol:
    """A plausible symbol for a name: a preset for the best known, otherwise derived from the text of the name.

    Args:
        kind: crypto, fx or equity.
        calendar: when it trades; by default 24/7 for crypto, forex for fx, XNYS for equity.
        tick: the tick of the instrument's rules, 0 for the usual one. A coin that is not among the best known begins at
            a price of at least some ten thousand ticks.

    Raises:
        ConfigError: no such kind, or a tick that is larger than the first price.
    """
    makers: dict[str, Callable[[str, str, float], SyntheticSymbol]] = {"crypto": _crypto, "fx": _fx, "equity": _equity}
    if kind not in makers:
        raise ConfigError(
            f"expected the kind of synthetic symbol {name!r} among {', '.join(KINDS)}, found {kind!r}; correct it",
            found=kind,
        )
    return makers[kind](name, calendar or _CALENDARS[kind], tick)


def _crypto(name: str, calendar: str, tick: float) -> SyntheticSymbol:
    preset = _CRYPTO.get(name)
    if preset is not None:
        within(f"synthetic symbol {name!r}", "tick", tick or preset.tick, 1e-12, preset.start_price)
        return replace(preset, calendar=calendar, tick=tick or preset.tick)
    draw = stable_hash("synthetic symbol", name)
    decade, draw = draw % 5, draw // 5
    leading, draw = 1.5 + 0.5 * (draw % 16), draw // 16
    volatility_bp, draw = 14.0 + 0.25 * (draw % 17), draw // 17
    common_share, draw = 0.78 + 0.01 * (draw % 9), draw // 9
    # Text to float, so that 0.0001 is the number that the text means; 10 ** -4 depends on the machine's library.
    unit = float(f"1e{decade - 1}")
    usual = float(f"1e{decade - 5}")
    return SyntheticSymbol(
        symbol=name,
        start_price=leading * (unit if tick <= usual else _LEAST_TICKS * tick),
        tick=tick or usual,
        volatility_bp=volatility_bp,
        common_share=common_share,
        unchanged_share=0.05,
        absent_share=0.003 + 0.001 * (draw % 4),
        bounce_bp=1.5,
        volume=float(f"1e{6 - decade}"),
        volume_step=float(f"1e{1 - decade}"),
        calendar=calendar,
    )


def _fx(name: str, calendar: str, tick: float) -> SyntheticSymbol:
    usual = defaults_for("fx", name)
    draw = stable_hash("synthetic fx", name)
    derived = 0.6 + 0.05 * (draw % 20), 1.1 + 0.05 * (draw // 20 % 9), 0.8 + 0.2 * (draw // 180 % 8)
    start_price, volatility_bp, spread_bp = _FX.get(name) or derived
    if name not in _FX and usual["tick"] >= 0.001:
        start_price *= 100.0  # yen, forint and metals are quoted in larger numbers
    lot = float(usual["volume_step"])  # a broker's; dealers among themselves deal in smaller amounts
    return SyntheticSymbol(
        symbol=name,
        start_price=start_price,
        tick=tick or float(usual["tick"]),
        volatility_bp=volatility_bp,
        common_share=0.42,
        unchanged_share=0.03,
        absent_share=0.003,
        bounce_bp=0.08,
        volume=5000.0 * lot,
        volume_step=lot / 100.0,
        kind="fx",
        calendar=calendar,
        closed_volatility=0.2,
        spread_bp=spread_bp,
    )


def _equity(name: str, calendar: str, tick: float) -> SyntheticSymbol:
    draw = stable_hash("synthetic equity", name)
    start_price, draw = 40.0 + 5.0 * (draw % 60), draw // 60
    volatility_bp, draw = 6.0 + 0.25 * (draw % 17), draw // 17
    return SyntheticSymbol(
        symbol=name,
        start_price=start_price,
        tick=tick or 0.01,
        volatility_bp=volatility_bp,
        common_share=0.45 + 0.02 * (draw % 9),
        unchanged_share=0.02,
        absent_share=0.003 + 0.001 * (draw // 9 % 4),
        bounce_bp=0.5,
        volume=200_000.0,
        volume_step=1.0,
        kind="equity",
        calendar=calendar,
        closed_volatility=0.4,
        spread_bp=1.5,
    )
