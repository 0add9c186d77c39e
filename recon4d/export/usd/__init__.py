"""Scenes as USD: skinned meshes, surfels and cameras.  Does NOT make meshes, or read USD."""
