"""What the batcher does: asking, claiming, calling, settling, and what operators do."""
