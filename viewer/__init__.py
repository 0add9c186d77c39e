"""The web viewer and editor for artists.  Shows scenes and makes edits; never trains and never changes arrays."""
