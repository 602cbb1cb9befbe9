"""`python -m facegen` is the `facegen` command."""

from facegen.cli.app import main

if __name__ == "__main__":
    main()
