"""`copgen show`, `verify`, `export` and `import`: what is done with pairs on disk."""
