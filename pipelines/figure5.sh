#!/usr/bin/env bash
# Figure 5: anchors of BigGAN-deep, their positives over the training of the navigator, and those of the other transforms.
#
#   pipelines/figure5.sh              run it; the same command resumes
#   pipelines/figure5.sh --dry-run    what it costs here
#
# Needs biggan-deep-128-pytorch_model.bin and biggan-deep-128-config.json below WEIGHTS. Writes sheets of images to figure5/
# below RUNS. The navigator and the walk are those of table10.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

ANCHORS=${ANCHORS:-16}
EVERY=${EVERY:-20}          # of the snapshots, which are 5K samples apart
generator=biggan-deep-128
navigator=$RUNS/$generator/navigator/seed-0
walk=$RUNS/$generator/steering/seed-0

copgen navigate --generator "$generator" --seed 0 --out "$navigator"
copgen navigate --generator "$generator" --objective steering --seed 0 --out "$walk"

# Rows of a sheet: anchors, and positives at 0.5, 1, 1.5 and 2 times the length of the step
snapshots=("$navigator"/snapshots/*.safetensors)
for ((k = 0; k < ${#snapshots[@]}; k += EVERY)); do
    copgen navigator show "${snapshots[k]}" --n "$ANCHORS" --out "$RUNS/figure5/$(basename "${snapshots[k]}" .safetensors).png"
done

# The same anchors with the positives of each transform
for row in gaussian steering random optimal; do
    case $row in
        gaussian) transform=(--transform gaussian-truncated --std 1) ;; # as in GenRep
        steering) transform=(--transform steering --walk "$walk") ;;
        random) transform=(--transform random) ;;
        optimal) transform=(--transform optimal --navigator "$navigator") ;;
    esac
    pairs=$RUNS/$generator/pairs-$ANCHORS/$row/seed-0
    copgen sample --generator "$generator" "${transform[@]}" --n "$ANCHORS" --seed 0 --out "$pairs"
    copgen show "$pairs" --n "$ANCHORS" --out "$RUNS/figure5/$row.png"
done
