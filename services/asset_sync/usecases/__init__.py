"""What asset_sync does: ask a platform about a token, keep connections, look after them."""
