"""The commands of `copgen eval`, one file each."""
