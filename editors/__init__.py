"""Edits of a scene as data: selections, the edit stack, and its evaluation.  Never touches a viewer."""
