"""glTF 2.0 binary files: meshes with bones or shapes, textures and moving cameras.  Does NOT make meshes."""
