"""Cases 60 to 98 of the checklist: HTTP, names, documents, leaks and backends."""
