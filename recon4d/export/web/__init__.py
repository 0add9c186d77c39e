"""Scenes that play in a browser without a network.  Does NOT draw on the side of Python, or serve pages."""
