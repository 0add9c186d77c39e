"""The panels of the page: each builds its controls for one session and keeps them up to date.

A panel turns what an artist does into calls of the session, the project or the editors; it holds no state of the scene.
"""
