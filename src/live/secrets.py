"""Keys and addresses that nobody may read: found in the environment, masked in everything that leaves the process.

A value is masked as it stands and in the forms that it takes on its way out: escaped in JSON or in a `repr`, quoted in
an address, as base64, line by line. Words of a signed request (`signature`, `listenKey`, `X-MBX-APIKEY`) are masked
whatever their value. Any thread; nothing waits.
"""

import base64
import json
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from src.core.errors import ConfigError

__all__ = ["MASK", "Secrets", "secret_names"]

MASK = "***"
#: A shorter value would be found in texts that have nothing to do with it.
_SHORTEST = 6
#: From this length on a part of an address counts as a secret, such as the token of a chat.
_LONG_PART = 8

_NAMES = re.compile(r"LOCKSTEP_(?:\w*_)?(?:KEY|SECRET|PASSWORD|PASSPHRASE|TOKEN)")
#: What a request calls its secrets; also the names of values that are masked whole.
_WORDS = (
    r"(?:X-MBX-APIKEY|[\w-]*api[-_]?key|[\w-]*api[-_]?secret|[\w-]*secret|[\w-]*passphrase|[\w-]*password"
    r"|[\w-]*signature|listenKey|[\w-]*token|authorization)"
)
_NAMED = re.compile(_WORDS, re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"""(?<![\w-])({_WORDS}["']?\s*[=:]\s*["']?(?:(?:bearer|basic)\s+)?)([^\s"'&,;<>}})\]]+)""", re.I
)
_USER_INFO = re.compile(r"(\b[\w+.-]+://)[^/\s@\"']+@")


def secret_names(environ: Mapping[str, str], more: Iterable[str] = ()) -> tuple[str, ...]:
    """The variables of an environment that hold secrets: by their name, addresses of alerts, and those in `more`."""
    named = {
        name for name, value in environ.items()
        if _NAMES.fullmatch(name) or (name.startswith("LOCKSTEP_NOTIFY") and "://" in value)
    }  # fmt: skip
    return tuple(sorted(named | {name for name in more if name in environ}))


class Secrets:
    """What is known to be secret.

    Args:
        environ: the environment; `LOCKSTEP_..._KEY`, `..._SECRET` and the like and `LOCKSTEP_NOTIFY...` are taken.
        names: further variables of it, such as those of the targets of alerts.
        values: secrets from elsewhere.
    """

    def __init__(
        self, environ: Mapping[str, str] | None = None, names: Iterable[str] = (), values: Iterable[str] = ()
    ) -> None:
        self._known: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        held = {} if environ is None else environ
        self.add(*(held[name] for name in secret_names(held, names)), *values)

    def __repr__(self) -> str:
        return f"Secrets({len(self._known)} masked)"

    def __getstate__(self) -> object:
        raise TypeError("secrets stay in the process that has read them")

    def add(self, *values: str) -> None:
        """Mask these too; a value of less than 6 characters is none that could be told from other text."""
        forms = {form for value in values for part in _parts(value.strip()) for form in _forms(part)}
        self._known |= {form for form in forms if len(form) >= _SHORTEST}
        if self._known:
            # The longest first, so that no rest of a longer one remains.
            ordered = sorted(self._known, key=lambda form: (-len(form), form))
            self._pattern = re.compile("|".join(map(re.escape, ordered)))

    def holds(self, text: str) -> bool:
        """Whether a known secret stands in the text."""
        return self._pattern is not None and self._pattern.search(text) is not None

    def masked_values(self, text: str) -> str:
        """The text without known secrets; a JSON text remains one."""
        return text if self._pattern is None else self._pattern.sub(MASK, text)

    def masked(self, text: str) -> str:
        """The text without known secrets and without what stands where a secret does."""
        text = self.masked_values(text)
        text = _USER_INFO.sub(rf"\g<1>{MASK}@", text)
        return _ASSIGNED.sub(rf"\g<1>{MASK}", text)

    def clean(self, value: Any) -> Any:
        """The same for texts inside of mappings and lists; what a key of a mapping calls a secret is masked whole."""
        if isinstance(value, str):
            return self.masked(value)
        if isinstance(value, bytes):
            return self.masked(value.decode("utf-8", "backslashreplace"))
        if isinstance(value, Mapping):
            return {
                self.masked(key) if isinstance(key, str) else key: MASK
                if isinstance(key, str) and _NAMED.fullmatch(key) and each not in (None, "", False, True)
                else self.clean(each)
                for key, each in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
            return [self.clean(each) for each in items]
        if value is None or isinstance(value, bool | int | float):
            return value
        return self.masked(str(value) if isinstance(value, BaseException) else repr(value))

    def processor(self, _: Any, __: str, event: Any) -> dict[str, Any]:
        """A processor of structlog, to stand after the one that makes exceptions text."""
        cleaned: dict[str, Any] = self.clean(event)
        return cleaned

    def formatted(self, error: BaseException) -> str:
        """The traceback of an error with its causes, without secrets and without local variables."""
        return self.masked("".join(traceback.format_exception(error)))

    def guarded(self, write: Callable[[str], object]) -> Callable[[str], object]:
        """`write` for texts that may hold secrets."""
        return lambda text: write(self.masked(text))

    def check_arguments(self, words: Sequence[str]) -> None:
        """Hold that no secret stands in the words of a command, where everybody on the machine reads it.

        Raises:
            ConfigError: one does; the text names its place and not its value.
        """
        for place, word in enumerate(words, start=1):
            if self.holds(word):
                raise ConfigError(
                    f"expected keys in the environment alone, found one in word {place} of the command, where every "
                    "user of this machine can read it; take it out, and make a new key"
                )


def _parts(value: str) -> list[str]:
    """A value and the parts of it that are secret by themselves."""
    parts = [value]
    lines = value.splitlines()
    if len(lines) > 1:  # a private key
        parts += [line for line in lines if len(line) >= _LONG_PART and not line.startswith("-----")]
    if "://" in value:
        try:
            address = urlsplit(value)
        except ValueError:
            return parts
        user, at, host = address.netloc.rpartition("@")
        parts += [part for part in re.split(":", user) if at]
        pieces = re.split("[:]", host) if "." not in host else []
        pieces += re.split("/", address.path)
        pieces += [part.partition("=")[2] for part in address.query.split("&")]
        parts += [piece for piece in pieces if _is_token(piece)]
    return [each for part in parts for each in dict.fromkeys((part, unquote(part)))]


def _is_token(piece: str) -> bool:
    """Whether a part of an address looks like a secret and not like a word or a number of a port."""
    return len(piece) >= _LONG_PART and not (piece.isalpha() and piece.islower() and len(piece) < 2 * _LONG_PART)


def _forms(value: str) -> set[str]:
    """How a value may look in a text."""
    forms = {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]}
    forms |= {quote(value), quote(value, safe=""), quote_plus(value)}
    raw = value.encode("utf-8", "backslashreplace")
    if len(raw) >= _LONG_PART:
        forms |= {base64.b64encode(raw).decode("ascii").rstrip("="), raw.hex()}
    return forms
