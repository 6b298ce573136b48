"""A web app on this machine over run folders, task files and training runs: what the numbers hide.

The server gives JSON and files; the pages are made in the browser, and every text of a trajectory is a text there.
"""
