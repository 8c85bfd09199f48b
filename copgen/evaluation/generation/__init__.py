"""Scores of generated images against real ones, from their features.

feature_chunks   features of many images, chunk by chunk on disk
frechet          Fréchet distance of two Gaussians; FID in Inception's space
class_score      Inception Score, and the same of another classifier
manifolds        precision and recall, density and coverage
"""
