"""`python main.py --mode backtest` runs the bot; `python main.py --help` lists everything else."""

import sys

from src.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
