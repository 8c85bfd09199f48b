"""The command line of copgen: one file per command. It parses, calls one stage, and shows what came out."""
