"""What ingest does, by noun: admission of requests, their endings, identities, connections."""
