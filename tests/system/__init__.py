"""The whole daemon, over real servers: what a client sees, whatever happens."""
