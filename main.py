"""`python main.py --mode backtest` runs the bot; `python main.py --help` lists everything else."""

import sys

if __name__ == "__main__":
    # Not above: the processes that a suite starts read this file again and have no use for the command line.
    try:
        from src.cli.app import main
    except KeyboardInterrupt:  # nothing has begun, and where it was loading is of no interest
        sys.exit(130)
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.partition(".")[0] == "src":
            raise
        sys.stderr.write(
            f"error: expected the packages of Lockstep for {sys.executable}, found no {missing.name}; activate the "
            "environment that they were installed in, or install them: pip install -e .\n"
        )
        sys.exit(2)

    sys.exit(main())
