"""`make demo`: people, systems and receivers around a Tocsin, played by two programs.

The receiver answers as webhooks in the field do: quickly, slowly, now and then, or not at all. The
feeder is who sets Tocsin up and whoever uses it. Both know it by its REST API only, as a user does.
"""
