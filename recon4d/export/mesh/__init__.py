"""A mesh of a layer's canonical surfels: fused, cleaned, simplified, textured and bound to bones.

Does NOT write files, and does NOT know formats.
"""
