"""`copgen show`, `verify`, `export` and `import`: pairs on disk."""
