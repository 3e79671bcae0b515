"""How an unmodified client of the exchange gets to the local venue: its connections go there, whatever host they name.

The client goes on to believe that it speaks with the exchange, so that it reads answers and errors as it would there;
and no request of it can leave this machine.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from src.testing.venue import KEY, SECRET, LocalVenue

__all__ = ["client_of", "session_to"]


class _Detour(HTTPAdapter):
    """Sends every request to one place, under the path and parameters that it has."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url

    def send(self, request: requests.PreparedRequest, *args: Any, **more: Any) -> requests.Response:
        """See `HTTPAdapter.send`."""
        request.url = f"{self._url}{request.path_url}"
        more["proxies"] = None
        return super().send(request, *args, **more)


def session_to(url: str) -> requests.Session:
    """A session whose requests all go to the venue at `url`."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Detour(url))
    return session


def client_of(
    venue: LocalVenue, *, timeout_s: float = 10.0, key: str = KEY, secret: str = SECRET,
    now_ns: Callable[[], int] | None = None, options: Mapping[str, Any] | None = None, exchange: str = "binanceusdm",
) -> Any:  # fmt: skip
    """A ccxt client of the exchange that is connected with the venue and goes by its time.

    Args:
        now_ns: the client's clock; the venue's by default.
        options: of ccxt, besides.
        exchange: whose client; `binance` for a spot account.
    """
    if exchange == "binance":
        options = {"fetchMarkets": {"types": ["spot"]}, "fetchMargins": False, **(options or {})}
    client = getattr(import_module("ccxt"), exchange)(
        {
            "apiKey": key, "secret": secret, "timeout": round(timeout_s * 1000), "enableRateLimit": False,
            "session": session_to(venue.url), "options": dict(options or {}),
        }
    )  # fmt: skip
    client.has["fetchCurrencies"] = client.has["fetchCurrencies"] and exchange != "binance"
    clock = now_ns or venue.now_ns
    client.milliseconds = lambda: clock() // 1_000_000
    return client
