"""`python -m dspytrack` is the same as the `dspytrack` command."""

from dspytrack.cli.main import main

main()
