"""`copgen pretrain`: an encoder learns from pairs."""
