"""The order of steps of each operation, over the Protocols in ports."""
