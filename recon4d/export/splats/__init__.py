"""Scenes as Gaussian splats of other programs.  Does NOT read splats, or know cameras and meshes."""
