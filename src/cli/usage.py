"""What is said of a command that cannot be read: the word that is wrong, and the one that was probably meant.

Pure; the main thread.
"""

from collections.abc import Iterator
from typing import Any

from src.core.program import program
from src.core.words import closest

__all__ = ["usage_sentence"]

_MODES = ("backtest", "paper", "live")


def usage_sentence(error: Exception) -> str:
    """One sentence for an error of the option parser, with what to do.

    Args:
        error: has `format_message`, and for a wrong option `option_name`; its context knows the verbs and options.
    """
    said: str = getattr(error, "format_message")()  # noqa: B009 - the parser's errors have no public base
    context: Any = getattr(error, "ctx", None)
    where = "" if context is None else " ".join(_words_of(context))
    helps = f"`{' '.join(filter(None, (program(), where)))} --help` lists what there is."
    option = getattr(error, "option_name", None)
    if isinstance(option, str) and context is not None and hasattr(error, "possibilities"):
        known = [each for each in _options(context.command) if each.startswith("--")]
        near = closest(option, known)
        elsewhere = [] if near else [verb for verb, has in _everywhere(context) if option in has]
        if near is not None:
            return f"no such option: {option}; did you mean {near}? {helps}"
        if elsewhere:
            return f"no such option here: {option}; it belongs to `{elsewhere[0]}`. {helps}"
        return f"no such option: {option}. {helps}"
    verb = said.partition("No such command '")[2].partition("'")[0]
    if verb and context is not None:
        return f"no such verb: {verb}{_verb_hint(verb, context, where)} {helps}"
    return f"{said.rstrip('.')}; {helps}"


def _verb_hint(verb: str, context: Any, where: str) -> str:
    if not where and verb in _MODES:
        return f"; did you mean `{program()} --mode {verb}`?"
    if not where and verb.endswith((".yaml", ".yml")):
        return f"; did you mean `{program()} --mode backtest --config {verb}`?"
    near = closest(verb, getattr(context.command, "commands", {}))
    if near is not None:
        return f"; did you mean {near!r}?"
    mode = "backtest" if verb == "run" else closest(verb, _MODES)
    if not where and mode is not None:
        return f"; did you mean `{program()} --mode {mode}`?"
    verbs = [name for name, _ in _everywhere(context)]
    below = [name for name in verbs if name.split()[-1] == verb] or [
        name for name in verbs if name.split()[-1] == closest(verb, [each.split()[-1] for each in verbs])
    ]
    return f"; did you mean {below[0]!r}?" if below else "."


def _words_of(context: Any) -> list[str]:
    """The verbs that lead to a context, the program itself left out."""
    above = context.parent
    return [] if above is None else [*_words_of(above), str(context.info_name)]


def _everywhere(context: Any) -> Iterator[tuple[str, list[str]]]:
    """Every verb with its options, whatever its group."""
    yield from _below(context.find_root(), context.find_root().command, "")


def _below(context: Any, group: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    for word in getattr(group, "commands", {}):
        found = group.get_command(context, word)
        yield f"{name} {word}".strip(), _options(found)
        yield from _below(context, found, f"{name} {word}".strip())


def _options(of: Any) -> list[str]:
    return [each for parameter in of.params for each in (*parameter.opts, *parameter.secondary_opts)]
