"""Grafana's dashboards as code; `python -m deploy.watch` writes the JSON that Grafana is provisioned with."""
