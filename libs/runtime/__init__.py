"""The frame that every service runs in: settings, life cycle, signals, HTTP edge, keys, admin routes."""
