"""What those who watch are told: how things are, and what changes."""
