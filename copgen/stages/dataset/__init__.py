"""`copgen data`: the datasets that copgen knows, and what a folder of images holds."""
