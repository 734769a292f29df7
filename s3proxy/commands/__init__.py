"""Subcommands that run in the foreground and end."""
