"""Object detection: Faster R-CNN on the stages of an encoder, and two ways to measure its average precision."""
