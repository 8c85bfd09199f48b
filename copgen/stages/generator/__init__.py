"""`copgen generator`: fit, fetch, import, inspect and list generators."""
