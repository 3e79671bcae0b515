"""What stands at the end of each `--help`: a command or two that can be pasted. Pure; any thread.

A new verb is one entry of `EXAMPLES`; a test runs through all verbs and says which has none.
"""

from collections.abc import Mapping

from src.core.program import program

__all__ = ["EXAMPLES", "epilog_of"]

#: By verb, as it is typed; the empty one is the program without a verb.
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "": (
        "--mode backtest",
        "--mode backtest --set risk.max_open_positions=3 --open",
        "--mode backtest --data prices.csv --use my_strategy.py:MyStrategy",
        "--mode paper --config configs/live.yaml",
    ),
    "adopt": ("adopt BTCUSDT --config configs/live.yaml",),
    "close": ("close BTCUSDT --config configs/live.yaml",),
    "data": ("data list", "data sync --help"),
    "data check": ("data check", "data check --store data/synthetic.duckdb --json"),
    "data delete": ("data delete BTCUSDT --timeframe 1m",),
    "data export": ("data export", "data export --mirror backup.mirror --prune"),
    "data fingerprint": ("data fingerprint", "data fingerprint --store data/synthetic.duckdb"),
    "data heal": ("data heal --dry-run", "data heal"),
    "data import": (
        "data import prices.csv --symbol BTCUSDT --kind crypto --stamp open --price trade",
        "data import --from-recording three-modes-live-1",
    ),
    "data list": ("data list", "data list --store data/synthetic.duckdb"),
    "data sync": (
        "data sync --source ccxt:binanceusdm --symbols BTCUSDT,ETHUSDT --start 2024-01-01",
        "data sync --source synthetic:7 --symbols AAA --start 2024-01-01 --end 2024-01-08",
    ),
    "explore": (
        "explore --config configs/default.yaml --schedules 6",
        "explore --config configs/default.yaml --report schedules.html",
    ),
    "export": ("export 0123456789abcdef", "export 0123456789abcdef --tables all --tearsheet --to sheets"),
    "flatten": ("flatten --config configs/live.yaml",),
    "init": ("init my_project",),
    "kill": ("kill --config configs/live.yaml",),
    "lookahead": ("lookahead --config configs/default.yaml --set backtest.end=2024-01-15",),
    "parity": (
        "parity three-modes-live-1 --report parity.html",
        "parity three-modes-live-1 --against three-modes-paper-1",
    ),
    "pause": ("pause --config configs/live.yaml",),
    "preflight": ("preflight --config configs/default.yaml",),
    "replay": ("replay three-modes-live-1", "replay three-modes-live-1 --fills simulated"),
    "report": ("report 0123456789abcdef --open", "report 0123456789abcdef --compare fedcba9876543210"),
    "results": (
        'results --config configs/suite.yaml --top 10 --by sharpe --where "trades > 20"',
        "results --config configs/suite.yaml --heatmap fast,slow --of net",
    ),
    "resume": ("resume --config configs/live.yaml", "resume --config configs/live.yaml --confirm three-modes"),
    "status": ("status", "status --config configs/live.yaml --json"),
    "stop": ("stop --config configs/live.yaml", "stop --config configs/live.yaml --keep"),
    "suite": ("suite configs/suite.yaml --plan", "suite configs/suite.yaml --workers 2 --resume"),
    "venue": ("venue --config configs/live.yaml", "venue --config configs/live.yaml --speed 10"),
    "verify": ("verify --config configs/default.yaml",),
    "walkforward": ("walkforward configs/validate.yaml", "walkforward configs/validate.yaml --dry-run --top 30"),
}


def epilog_of(verb: str) -> str:
    """The examples of a verb as its help shows them: a paragraph for each, because single line breaks are not kept."""
    lines = [f"{program()} {words}".replace("[", r"\[") for words in EXAMPLES.get(verb, ())]
    return "\n\n".join(["Examples:" if len(lines) > 1 else "Example:", *lines]) if lines else ""
