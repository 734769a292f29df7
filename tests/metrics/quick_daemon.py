"""The daemon with gauges that are read often, for tests that wait for them."""

from s3proxy import metering
from s3proxy.cli import main

metering.REFRESH_SECONDS = metering.SAMPLE_SECONDS = 0.2

main()
