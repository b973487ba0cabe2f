"""``python -m tfpwl`` is ``tfpwl``."""

from tfpwl.cli.main import main

if __name__ == "__main__":
    main()
