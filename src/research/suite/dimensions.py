"""From the product of a manifest to its dimensions: each value checked, against the base and the strategies' classes.

Called by one thread, while the manifest is read. Everything that is wrong is found in one go.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from src.backtesting.config import BacktestConfig
from src.backtesting.identity import user_file_hash, user_files
from src.backtesting.preflight import instant_text
from src.core.config import StrategyConfig
from src.core.config_file import ConfigDocument
from src.core.errors import ConfigError
from src.core.record import record
from src.core.strategy import Param
from src.core.strategy_runner import strategy_params
from src.core.timeframe import format_duration
from src.core.words import meant
from src.research.suite.expand import PARAMS, STRATEGIES, SYMBOLS, Dimension, Member, Product, Structure
from src.research.suite.section import ProductSection
from src.research.suite.values import Choices, parameter_choices, plain_choices
from src.strategies import LoadedStrategy, load_strategy

__all__ = ["OwnStrategies", "product_of", "refused_key", "short_name", "told_value"]

#: Keys of the configuration that another key of the product says.
_ELSEWHERE = {
    "strategies": "product.strategies", "symbols": "product.symbols", "backtest.start": "product.windows",
    "backtest.end": "product.windows", "backtest.costs": "product.costs", "backtest.schedule": "product.schedules",
}  # fmt: skip


class OwnStrategies:
    """The strategies that the runs of a suite use, each loaded and hashed once.

    Args:
        folder: what the paths after `use:` are relative to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loaded: dict[str, LoadedStrategy] = {}
        self._hashes: dict[Path, str] = {}
        self._files: dict[Path, tuple[Path, ...]] = {}

    def load(self, use: str) -> LoadedStrategy:
        """See `load_strategy`."""
        if use not in self._loaded:
            self._loaded[use] = load_strategy(use, self._folder)
        return self._loaded[use]

    def hash_of(self, path: Path) -> str:
        """See `user_file_hash`."""
        if path not in self._hashes:
            self._hashes[path] = user_file_hash(path)
        return self._hashes[path]

    def files(self, uses: Iterable[str]) -> tuple[Path, ...]:
        """The files that strategies were made of, each once, in the order of their names."""
        found: set[Path] = set()
        for use in uses:
            path = self.load(use).path
            if path is not None:
                if path not in self._files:
                    self._files[path] = tuple(user_files(path).values())
                found.update(self._files[path])
        return tuple(sorted(found))


@record
class _Alternative:
    """One `strategies` section: as it is written, as it is read, and what its strategies declare."""

    raw: tuple[Mapping[str, Any], ...]
    sections: tuple[StrategyConfig, ...]
    params: tuple[Mapping[str, Param], ...]
    where: str


def product_of(
    manifest: ConfigDocument, section: ProductSection, base: ConfigDocument, config: BacktestConfig,
    strategies: OwnStrategies, *, listed: bool,
) -> Product:  # fmt: skip
    """The product of a manifest.

    Args:
        base, config: the configuration that every run starts from.
        listed: whether all combinations are gone through, so that every range has to be a list of values.

    Raises:
        ConfigError: something in it is wrong; `problems` holds a sentence for each.
    """
    return _Reader(manifest, section, base, config, strategies, listed=listed).read()


class _Reader:
    def __init__(
        self, manifest: ConfigDocument, section: ProductSection, base: ConfigDocument, config: BacktestConfig,
        strategies: OwnStrategies, *, listed: bool,
    ) -> None:  # fmt: skip
        self._manifest = manifest
        self._raw: dict[str, Any] = manifest.values["product"]
        self._section = section
        self._base = base
        self._config = config
        self._strategies = strategies
        self._listed = listed
        self._problems: list[str] = []

    def read(self) -> Product:
        alternatives = self._alternatives()
        self._check_symbols()
        self._refuse()  # nothing can be said of parameters without their classes
        structures = self._structures(alternatives)
        dimensions: list[Dimension] = []
        for kind in self._raw:  # in the order in which they are written
            if kind == PARAMS:
                dimensions += self._params(alternatives)
            elif kind == "set":
                dimensions += self._set()
            elif self._raw[kind] is not None:
                dimensions.append(self._whole(kind, alternatives))
        self._check_overruled(dimensions, structures.values())
        self._refuse()
        return Product(_labelled(dimensions), structures)

    def _refuse(self) -> None:
        if self._problems:
            raise ConfigError("\n".join(self._problems), problems=list(self._problems))

    def _where(self, *key: str | int) -> str:
        return self._manifest.where(("product", *key))

    def _wrong(self, key: Sequence[str | int], text: str) -> None:
        self._problems.append(f"{self._where(*key)}: product.{'.'.join(map(str, key))}: {text}")

    # -- strategies and symbols --------------------------------------------------------------------

    def _alternatives(self) -> list[_Alternative]:
        if self._section.strategies is None:
            raw, sections = self._base.values["strategies"], self._config.strategies
            return [self._alternative(raw, sections, self._base.where((STRATEGIES,)), "")]
        found: list[_Alternative] = []
        for i, (raw, own) in enumerate(zip(self._raw[STRATEGIES], self._section.strategies, strict=True)):
            listed = [raw] if isinstance(raw, dict) else raw
            found.append(self._alternative(listed, own, self._where(STRATEGIES, i), f"product.strategies.{i}: "))
        return found

    def _alternative(
        self, raw: Sequence[Mapping[str, Any]], sections: Sequence[StrategyConfig], where: str, key: str
    ) -> _Alternative:
        params: list[Mapping[str, Param]] = []
        for one in sections:
            try:
                declared = strategy_params(self._strategies.load(one.use).cls)
            except ConfigError as error:
                self._problems.append(f"{where}: {key}{error.message}")
                declared = {}
            params.append(declared)
        return _Alternative(raw=tuple(raw), sections=tuple(sections), params=tuple(params), where=where)

    def _check_symbols(self) -> None:
        known = list(self._config.instruments)
        for i, symbols in enumerate(self._section.symbols or ()):
            for symbol in symbols:
                if symbol not in known:
                    self._wrong((SYMBOLS, i), f"expected instruments of {self._base.name}, which are "
                                f"{', '.join(known)}; found {symbol!r}{meant(symbol, known)}")  # fmt: skip

    def _structures(self, alternatives: Sequence[_Alternative]) -> dict[tuple[int, int], Structure]:
        found: dict[tuple[int, int], Structure] = {}
        for a, alternative in enumerate(alternatives):
            for s, symbols in enumerate(self._section.symbols or (None,)):
                structure = self._structure(alternative, symbols)
                if not structure.members:
                    names = ", ".join(one.instance for one in alternative.sections)
                    self._wrong(
                        (SYMBOLS, s),
                        f"no strategy is left with a symbol: {names} of {alternative.where} trade none of "
                        f"{', '.join(symbols or ())}; name others, or take the strategies' own symbols out",
                    )
                found[a, s] = structure
        return found

    def _structure(self, alternative: _Alternative, symbols: tuple[str, ...] | None) -> Structure:
        kept: list[tuple[int, Mapping[str, Any]]] = []
        changed: list[tuple[str, Any]] = []
        for i, (raw, one) in enumerate(zip(alternative.raw, alternative.sections, strict=True)):
            own = one.symbols
            if symbols is not None and own is not None:
                left = [symbol for symbol in own if symbol in symbols]
                if not left:
                    continue
                if len(left) < len(own):
                    raw = {**raw, "symbols": left}
                    changed.append((f"strategies.{i}.symbols", left))
            kept.append((i, raw))
        if self._section.strategies is not None or len(kept) < len(alternative.raw):
            changed = [("strategies", [dict(raw) for _, raw in kept])]
        if symbols is not None:
            changed.append(("symbols", list(symbols)))
        members = [
            Member(index=at, instance=alternative.sections[i].instance, params=alternative.params[i])
            for at, (i, _) in enumerate(kept)
        ]
        return Structure(settings=tuple(changed), members=tuple(members))

    def _check_overruled(self, dimensions: Sequence[Dimension], structures: Iterable[Structure]) -> None:
        """Refuse values that a later key of the product writes over: runs would be labelled with what they have not."""
        found: dict[int, int] = {}
        for structure in structures:
            keys = [_keys_of(each, structure) for each in dimensions]
            for i, own in enumerate(keys):
                for j in range(i + 1, len(keys)):
                    if own and all(any(f"{key}.".startswith(f"{other}.") for other in keys[j]) for key in own):
                        found.setdefault(i, j)
        for i, j in found.items():
            one, other = dimensions[i], dimensions[j]
            self._problems.append(
                f"{one.where}: product.{one.name}: no run would have these values, because product.{other.name} "
                f"({other.where}) stands later and writes over them; take one of the two out, or let the wider one "
                "stand first"
            )

    # -- dimensions --------------------------------------------------------------------------------

    def _params(self, alternatives: Sequence[_Alternative]) -> list[Dimension]:
        found: list[Dimension] = []
        for key, section in self._section.params.items():
            instance, dot, name = key.rpartition(".")
            owners = [
                declared[name]
                for alternative in alternatives
                for one, declared in zip(alternative.sections, alternative.params, strict=True)
                if name in declared and (not dot or one.instance == instance)
            ]
            if not owners:
                self._wrong((PARAMS, key), f"no strategy has the parameter {key!r}{_known_params(key, alternatives)}")
                continue
            where = self._where(PARAMS, key)
            try:
                choices = parameter_choices(section, owners, f"{where}: product.params", listed=self._listed)
            except ConfigError as error:
                self._problems.append(error.message)
                continue
            found.append(Dimension(kind=PARAMS, key=key, label=name, where=where, choices=choices))
        return found

    def _set(self) -> list[Dimension]:
        found: list[Dimension] = []
        for key, section in self._section.set.items():
            other = _ELSEWHERE.get(key, "")
            written = other and self._raw.get(other.partition(".")[2]) is not None
            if other and (written or key in (STRATEGIES, SYMBOLS)):
                self._wrong(("set", key), f"this key is said by {other}; write its values there")
                continue
            reason = refused_key(key)
            if reason:
                self._wrong(("set", key), reason)
                continue
            where = self._where("set", key)
            try:
                choices = plain_choices(section, f"{where}: product.set.{key}", listed=self._listed)
            except ConfigError as error:
                self._problems.append(error.message)
                continue
            texts = () if choices.count is None else tuple([told_value(one) for one in choices.values or ()])
            found.append(
                Dimension(kind="set", key=key, label=short_name(key), where=where, choices=choices, texts=texts)
            )
        return found

    def _whole(self, kind: str, alternatives: Sequence[_Alternative]) -> Dimension:
        raw: list[Any] = self._raw[kind]
        choices, where = Choices(values=tuple(raw)), self._where(kind)
        settings: list[tuple[tuple[str, Any], ...]] = []
        texts: Sequence[Any]
        if kind == STRATEGIES:
            texts = _apart(["+".join(_told_strategy(one) for one in each.sections) for each in alternatives])
        elif kind == SYMBOLS:
            texts = ["+".join(each) for each in self._section.symbols or ()]
        elif kind == "windows":
            for one in self._section.windows or ():
                start, end = instant_text(one.start_ns), instant_text(one.end_ns)
                settings.append((("backtest.start", start), ("backtest.end", end)))
            texts = [f"{one[0][1]}..{one[1][1]}" for one in settings]
        elif kind == "costs":
            settings = [(("backtest.costs", one),) for one in raw]
            texts = _apart(_differing(raw))
        else:
            settings = [(("backtest.schedule", one),) for one in raw]
            texts = list(raw)
        label = {"strategies": "strategies", "symbols": "symbols", "windows": "window", "costs": "costs"}
        return Dimension(
            kind=kind, key="", label=label.get(kind, "schedule"), where=where, choices=choices,
            settings=tuple(settings), texts=tuple(texts),
        )  # fmt: skip


def _keys_of(dimension: Dimension, structure: Structure) -> tuple[str, ...]:
    """The keys of the configuration that a dimension sets in runs of some strategies."""
    if dimension.kind == PARAMS:
        name = dimension.key.rpartition(".")[2]
        return tuple([f"strategies.{place}.params.{name}" for place in structure.owners(dimension.key)])
    if dimension.kind in (STRATEGIES, SYMBOLS):
        return ()  # these are set before all others
    return tuple([key for key, _ in dimension.settings[0]]) if dimension.settings else (dimension.key,)


def refused_key(key: str) -> str:
    """Why no run of a suite may set a key by itself; empty where it may."""
    if key == "backtest.runs" or key == "backtest":
        return (
            "all runs of a suite have one runs folder, that of the base; leave it out, or set single keys of backtest"
        )
    return ""


def short_name(key: str) -> str:
    """What tables call a key of the configuration: its last word."""
    return key.rpartition(".")[2]


def told_value(value: Any) -> Any:
    """A value for tables: numbers and words as they are, everything else as text."""
    return value if isinstance(value, (str, int, float, bool)) else json.dumps(value, default=str)


def _labelled(dimensions: Sequence[Dimension]) -> list[Dimension]:
    """The dimensions under labels that are one's own: the whole key where the short name is another's too."""
    labels = [each.label for each in dimensions]
    return [
        each if labels.count(each.label) == 1 or not each.key else Dimension(
            kind=each.kind, key=each.key, label=each.key, where=each.where, choices=each.choices,
            settings=each.settings, texts=each.texts,
        )
        for each in dimensions
    ]  # fmt: skip


def _told_strategy(one: StrategyConfig) -> str:
    return one.instance if one.timeframe_ns is None else f"{one.instance}@{format_duration(one.timeframe_ns)}"


def _differing(sections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each section by the keys in which it differs from another one; by all of its keys where it does not."""
    keys = list(dict.fromkeys(key for each in sections for key in each))
    differing = [key for key in keys if any(each.get(key) != sections[0].get(key) for each in sections)] or keys
    return [" ".join(f"{key}={told_value(each[key])}" for key in differing if key in each) for each in sections]


def _apart(texts: Sequence[str]) -> list[str]:
    """The texts, with a number behind those that are there twice."""
    return [
        text if texts.count(text) == 1 else f"{text} ({texts[: i + 1].count(text)})" for i, text in enumerate(texts)
    ]


def _known_params(key: str, alternatives: Sequence[_Alternative]) -> str:
    known: dict[str, list[str]] = {}
    for alternative in alternatives:
        for one, declared in zip(alternative.sections, alternative.params, strict=True):
            known[one.instance] = list(declared)
    names = [name for each in known.values() for name in each]
    names += [f"{instance}.{name}" for instance, each in known.items() for name in each]
    has = "; ".join(f"{instance} has {', '.join(each) or 'none'}" for instance, each in known.items())
    return f"; {has}{meant(key, names)}"
