"""ingest's SQL, by noun. Functions take the connection first and never begin or commit."""
