"""From rows and views to what the API shows: in full, field by field, ready to be written as JSON.

Below the API, since the cache is warmed, and the dashboard fed, where no request is served.
"""
