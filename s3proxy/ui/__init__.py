"""The status page: what an operator sees in a browser, at ``/ui``."""
