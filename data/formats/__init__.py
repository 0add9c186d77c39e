"""Data-set formats, one module each; every module's docstring states the convention of its format.

`recon4d.data.read_dataset` finds the right one.  To add a format: write `read_NAME(path) -> Dataset` and, for the
round-trip test, `write_NAME(folder, views)`, then add a line to `detect.py`.
"""
