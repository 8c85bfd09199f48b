#!/usr/bin/env bash
# Figure 4: anchors of BigBiGAN and their positives over the training of the navigator, and beyond the 200K samples of the
# tables, where the semantic constraint fails.
#
#   pipelines/figure4.sh              run it; the same command resumes
#   pipelines/figure4.sh --dry-run    what it costs here
#
# Needs BigBiGAN_x1.pth below WEIGHTS. Writes the figure, seed-0-evolution.png, and a page about the run to figure4/ below RUNS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SAMPLES=${SAMPLES:-1.6M} # as long as the authors' published curves
navigator=$RUNS/bigbigan/navigator-$SAMPLES/seed-0

copgen navigate --generator bigbigan --samples "$SAMPLES" --stop samples --seed 0 --out "$navigator"

# Rows are anchors; columns the steps of the training, GenRep's Gaussian, and another latent
copgen report "$navigator" --out "$RUNS/figure4"
