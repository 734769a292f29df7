"""The ledger: PostgreSQL through txpostgres."""
