"""The PostgreSQL and the S3 server that a first try runs on."""
