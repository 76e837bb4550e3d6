"""The query layer: what is asked of the database again and again, each declared once.

The API, the warmer and the dashboard all ask through `Reader`, so that they share the answers.
"""
