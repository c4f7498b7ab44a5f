"""Prometheus' configuration and alerts as code; `python -m deploy.watch` writes the files that it reads."""
