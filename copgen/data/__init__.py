"""Labelled real images: what generators are fitted to and encoders are judged on."""
