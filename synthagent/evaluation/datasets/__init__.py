"""The data sets of mathematics and search: files as they are published -> problems."""
