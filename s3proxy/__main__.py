"""``python -m s3proxy`` is the console script."""

from s3proxy.cli import main

main()
