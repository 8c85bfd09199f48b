#!/usr/bin/env bash
# Figure 5: anchors of BigGAN-deep, their positives over the training of the navigator, and those of the other transforms.
#
#   pipelines/figure5.sh              run it; the same command resumes
#   pipelines/figure5.sh --dry-run    what it costs here
#
# Needs biggan-deep-128-pytorch_model.bin and biggan-deep-128-config.json below WEIGHTS. Writes the figure,
# seed-0-1-evolution.png, and a page about both runs to figure5/ below RUNS. The navigator and the walk are those of table10.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

generator=biggan-deep-128
navigator=$RUNS/$generator/navigator/seed-0
walk=$RUNS/$generator/steering/seed-0

copgen navigate --generator "$generator" --seed 0 --out "$navigator"
copgen navigate --generator "$generator" --objective steering --seed 0 --out "$walk"

# Rows are anchors; columns the steps of the training, GenRep's Gaussian, another latent of the class, and the walk
copgen report "$navigator" "$walk" --out "$RUNS/figure5"
