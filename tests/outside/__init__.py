"""What embedded parts cannot show: an outside PostgreSQL over TLS, other backends."""
