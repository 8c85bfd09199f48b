"""The health of pairs before training: are positives like their anchors, and are anchors unlike each other?

spread       a distribution in numbers, and how far it lies above its null level
agreement    labels of anchor and positive under a classifier
diversity    effective rank, nearest neighbours and near-duplicates of anchors
verdict      what is compared with which threshold, in words
"""
