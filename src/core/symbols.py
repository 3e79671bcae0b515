"""Which symbols a bot trades while symbols join and leave it: the rules, and the sentence of each refusal. Pure."""

from src.core.config import BotConfig
from src.core.errors import ConfigError
from src.core.journal import ACCOUNT_STREAM
from src.core.words import meant

__all__ = ["ADD", "REMOVE", "Roster"]

#: The two changes there are.
ADD, REMOVE = "add", "remove"


class Roster:
    """The symbols of one run.

    Args:
        config: the bot's configuration; its symbols are there from the beginning.

    Attributes:
        known: every symbol that was ever there; the place in it is the symbol's rank.
    """

    def __init__(self, config: BotConfig) -> None:
        self._config = config
        self.known: tuple[str, ...] = config.symbols
        self._removed: frozenset[str] = frozenset()

    @property
    def traded(self) -> tuple[str, ...]:
        """The symbols that are there now, by rank."""
        return tuple([symbol for symbol in self.known if symbol not in self._removed])

    def copy(self) -> "Roster":
        """One that can be changed without changing this one."""
        roster = Roster(self._config)
        roster.known, roster._removed = self.known, self._removed
        return roster

    def change(self, action: str, symbol: str) -> None:
        """Do what `ADD` or `REMOVE` says; errors as of `add` and `remove`."""
        (self.add if action == ADD else self.remove)(symbol)

    def add(self, symbol: str) -> None:
        """Let a symbol join, after all others.

        Raises:
            ConfigError: it is there, was there, has no instrument, or no strategy would trade it.
        """
        config = self._config
        if symbol in self._removed:
            raise ConfigError(f"{symbol} was removed from this run and cannot come back; start another run with it")
        if symbol in self.known:
            raise ConfigError(f"{symbol} is traded already; the symbols are {', '.join(self.traded)}")
        if symbol not in config.instruments:
            known = ", ".join(config.instruments)
            hint = meant(symbol, config.instruments) or "; write one before the run"
            raise ConfigError(f"{symbol} has no entry under instruments (there: {known}){hint}")
        if symbol == ACCOUNT_STREAM:
            raise ConfigError(f"{ACCOUNT_STREAM!r} is taken by the account's records; name the symbol otherwise")
        if all(strategy.symbols is not None for strategy in config.strategies):
            raise ConfigError(
                f"no strategy would trade {symbol}, because each has symbols of its own; leave `symbols` out of one"
            )
        self.known = (*self.known, symbol)

    def remove(self, symbol: str) -> None:
        """Let a symbol leave.

        Raises:
            ConfigError: it is not there, or it is the last one.
        """
        if symbol in self._removed:
            raise ConfigError(f"{symbol} was removed already; the symbols are {', '.join(self.traded)}")
        if symbol not in self.known:
            hint = meant(symbol, self.traded)
            raise ConfigError(f"expected one of the symbols {', '.join(self.traded)}, found {symbol!r}{hint}")
        if len(self.traded) == 1:
            raise ConfigError(f"{symbol} is the last symbol and cannot be removed; stop the run instead")
        self._removed = self._removed | {symbol}
