"""`python main.py --mode backtest` runs the bot; `python main.py --help` lists everything else."""

import sys

if __name__ == "__main__":
    # Not above: the processes that a suite starts read this file again and have no use for the command line.
    from src.cli.app import main

    sys.exit(main())
