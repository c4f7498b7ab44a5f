"""Logs, metrics, traces and redaction: the only place that touches the global state of their SDKs."""
