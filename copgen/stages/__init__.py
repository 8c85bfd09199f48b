"""The stages: each reads files, runs one part of the chain, and writes files."""
