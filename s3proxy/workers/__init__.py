"""Several processes on one socket: what keeps them running, and how they are told."""
