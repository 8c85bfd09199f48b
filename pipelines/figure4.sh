#!/usr/bin/env bash
# Figure 4: anchors of BigBiGAN and their positives over the training of the navigator, and beyond the 200K samples of the
# tables, where the semantic constraint fails.
#
#   pipelines/figure4.sh              run it; the same command resumes
#   pipelines/figure4.sh --dry-run    what it costs here
#
# Needs BigBiGAN_x1.pth below WEIGHTS. Writes sheets of images to figure4/ below RUNS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SAMPLES=${SAMPLES:-1.6M}    # as long as the authors' published curves
ANCHORS=${ANCHORS:-16}
EVERY=${EVERY:-20}          # of the snapshots, which are 5K samples apart
navigator=$RUNS/bigbigan/navigator-$SAMPLES/seed-0

copgen navigate --generator bigbigan --samples "$SAMPLES" --stop samples --out "$navigator"

# Rows of a sheet: anchors, and positives at 0.5, 1, 1.5 and 2 times the length of the step
snapshots=("$navigator"/snapshots/*.safetensors)
for ((k = 0; k < ${#snapshots[@]}; k += EVERY)); do
    copgen navigator show "${snapshots[k]}" --n "$ANCHORS" --out "$RUNS/figure4/$(basename "${snapshots[k]}" .safetensors).png"
done
