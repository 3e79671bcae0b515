"""Makes the browser known to the tests of this folder."""

from tests.browser.browser import open_page, the_browser

__all__ = ["open_page", "the_browser"]
