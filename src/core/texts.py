"""What texts from outside have to be before they are written anywhere. Pure functions; any thread."""

__all__ = ["writable"]


def writable(text: str) -> str:
    """The same text, with lone surrogates, such as those of an odd file name, spelled as escapes.

    UTF-8 has no bytes for them, so a file, a table or a terminal would refuse the whole text.
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
