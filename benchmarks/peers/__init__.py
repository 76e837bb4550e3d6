"""The programs that Tocsin is measured beside: what one would otherwise write or run."""
