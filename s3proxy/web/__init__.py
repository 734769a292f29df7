"""The front door: HTTP, authentication, handlers, relay."""
