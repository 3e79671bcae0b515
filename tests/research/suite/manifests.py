"""A base configuration of two symbols and two hours that touches no store, and manifests of suites over it."""

from pathlib import Path

from src.core.errors import LockstepError
from src.research.suite.manifest import Manifest, read_manifest
from src.research.suite.plan import plan_of

BASE = """
name: small
account: {type: margin, currency: USDT, balance: 10_000, leverage: 3}
instruments:
  BTCUSDT: {kind: perpetual, tick: 0.1, volume_step: 0.001, min_volume: 0.001}
  ETHUSDT: {kind: perpetual, tick: 0.01, volume_step: 0.001, min_volume: 0.001}
symbols: [BTCUSDT, ETHUSDT]
strategies:
  - {use: sma_cross, timeframe: 5m, params: {fast: 3, slow: 5, atr_length: 3}, symbols: [BTCUSDT]}
  - {use: breakout, timeframe: 5m, params: {length: 5, atr_length: 3}, symbols: [ETHUSDT]}
risk: {size: {risk_percent: 0.5}}
backtest:
  start: 2024-01-02
  end: 2024-01-02T02:00:00Z
  data: {source: synthetic, store: none, begins: 2024-01-01}
  costs: {spread_percent: 0.02, commission_percent: 0.04, slippage_percent: 0.01}
"""


def write(folder: Path, manifest: str, base: str = BASE) -> Path:
    """Write a base and a manifest that names it; the manifest is returned."""
    (folder / "base.yaml").write_text(base.lstrip(), encoding="utf-8")
    path = folder / "suite.yaml"
    path.write_text(f"base: base.yaml\n{manifest.strip()}\n", encoding="utf-8")
    return path


def manifest_of(folder: Path, manifest: str, base: str = BASE) -> Manifest:
    """The manifest of that text over a base."""
    return read_manifest(write(folder, manifest, base), [])


def refusal_of(folder: Path, manifest: str, base: str = BASE) -> str:
    """The sentences with which a manifest, or the plan of it, is refused; empty when it is not."""
    try:
        plan_of(manifest_of(folder, manifest, base))
    except LockstepError as error:
        return error.message
    return ""


def labels_of(manifest: Manifest, *keys: str) -> list[tuple[object, ...]]:
    """The labels of each run, of those keys or of all."""
    return [tuple([value for key, value in one.labels if not keys or key in keys]) for one in manifest.specs]
