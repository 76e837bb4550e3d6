"""`tocsin top`: a live view in the terminal, over REST only."""
