"""One S3 account: the client, its signing agent, its upload and download."""
