"""A real headless browser for the tests of pages: it fails a test on an error in the console and on any request.

One browser for all tests of a process, with a profile folder of its own. It is told to leave the network alone; what
a page itself asks for is read from the browser's own record of requests.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Driver", "errors_of", "foreign_requests", "open_page", "the_browser"]

Driver = Any  # selenium's WebDriver; the package is imported when a browser is there

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage",
    "--hide-scrollbars", "--force-device-scale-factor=1", "--window-size=1440,1000", "--force-color-profile=srgb",
)  # fmt: skip
OWN_SCHEMES = ("file:", "data:", "blob:", "about:", "chrome:", "devtools:")
READY_SECONDS = 240

Found = tuple[str | None, str | None]


def found() -> Found:
    """Where Debian's browser and its driver lie, None for what is absent."""
    return shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="session")
def the_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """The browser of this process; the tests that ask for it are reported as not run where it is absent."""
    browser, driver = found()
    if browser is None or driver is None:
        pytest.skip("not run: chromium and chromedriver are not installed")
    webdriver = pytest.importorskip("selenium.webdriver", reason="not run: selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    made = webdriver.Chrome(options=options, service=Service(driver))
    yield made
    made.quit()


@pytest.fixture
def open_page(the_browser: Driver) -> Iterator[Callable[[Path], Driver]]:
    """A function that opens a page, waits until all of it is drawn, and returns the driver.

    When the test is over, it fails if a page wrote an error to the console or asked for anything that is not a file.
    """
    opened: list[Path] = []

    def open_one(path: Path, *, size: tuple[int, int] = (1440, 1000)) -> Driver:
        opened.append(path)
        the_browser.set_window_size(*size)
        the_browser.get(path.resolve().as_uri())
        the_browser.set_script_timeout(READY_SECONDS)
        state = the_browser.execute_async_script(
            "const done = arguments[0];"
            "if (!window.lockstep || !lockstep.ready) { done('the page has no lockstep.ready'); }"
            "else { lockstep.ready.then(() => done('ready'), error => done(String(error && error.stack || error))); }"
        )
        assert state == "ready", f"{path.name}: {state}; console: {errors_of(the_browser)}"
        return the_browser

    errors_of(the_browser)
    foreign_requests(the_browser)
    yield open_one
    errors, foreign = errors_of(the_browser), foreign_requests(the_browser)
    the_browser.execute_script(
        "try { localStorage.clear(); } catch (error) { /* a page without an origin has none */ }"
    )
    the_browser.get("about:blank")
    names = ", ".join(path.name for path in opened)
    assert not errors, f"{names} wrote to the console: {errors}"
    assert not foreign, f"{names} asked for {foreign}"


def errors_of(driver: Driver) -> list[str]:
    """The errors and warnings that were written to the console since the last call."""
    return [str(one["message"]) for one in driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]


def foreign_requests(driver: Driver) -> list[str]:
    """The addresses beyond this machine's files that were asked for since the last call."""
    asked = []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            asked.append(str(message["params"]["request"]["url"]))
    return [url for url in asked if not url.startswith(OWN_SCHEMES)]
