"""The daemon with a stop that is over soon, for a test that waits for its end."""

from s3proxy import service
from s3proxy.cli import main

service.DRAIN_SECONDS = 1.0

main()
