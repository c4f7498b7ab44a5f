"""SQL of webhook_receiver, a file per noun."""
