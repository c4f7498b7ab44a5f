"""What webhook_receiver does: keep apps, learn connections, process deliveries, replay them, forget them."""
