"""Pages: what a browser gets."""
