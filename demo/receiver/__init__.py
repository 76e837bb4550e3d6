"""The other end of the demo's webhooks: one server, a path for each character."""
