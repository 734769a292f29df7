"""What people point at an S3 endpoint: their clients, as they come."""
