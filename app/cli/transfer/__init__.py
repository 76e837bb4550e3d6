"""Webhooks, rules, silences and schedules as one YAML file, out and in.

Things are told apart by their names, since ids differ from server to server; a file says only what
is to be so, and what it leaves out stays as it is. So the same file twice changes nothing.
"""
