#!/usr/bin/env bash
# Table 9: real images, and GenRep and COP-Gen on the Residual Flow of MNIST; linear evaluation.
#
#   pipelines/table9.sh              run it; the same command resumes
#   pipelines/table9.sh --dry-run    what it costs here
#
# Needs mnist/ below DATA (it is downloaded if it is missing), and mnist_resflow_16-16-16.pth below WEIGHTS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}                      # appendix D
PAIRS=${PAIRS:-60k}                        # as many as MNIST has images
STDS=${STDS:-0.01 0.05 0.1 0.2 0.4}        # the grid of appendix D, of which the paper reports the best: 0.05
flow=residual-flow-mnist

out=$RUNS/mnist/$EPOCHS-epochs-$PAIRS
probe=(--dataset mnist --protocol authors) # learning rates for 256 images: 0.5 and 1.5 for 64 in appendix D

for seed in $SEEDS; do
    copgen pretrain --dataset mnist --split train+validation --recipe "$flow" --epochs "$EPOCHS" --seed "$seed" \
        --out "$out/real/seed-$seed"
    copgen eval linear --ckpt "$out/real/seed-$seed" "${probe[@]}" --lr 2

    navigator=$RUNS/$flow/navigator/seed-$seed
    copgen navigate --generator "$flow" --seed "$seed" --out "$navigator"
    rows=(none optimal)
    for std in $STDS; do rows+=("gaussian-$std"); done

    for row in "${rows[@]}"; do
        case $row in
            gaussian-*) transform=(--transform gaussian-truncated --std "${row#gaussian-}") ;;
            optimal) transform=(--transform optimal --navigator "$navigator") ;;
            none) transform=(--transform none) ;;
        esac
        pairs=$RUNS/$flow/pairs-$PAIRS/$row/seed-$seed
        encoder=$out/$row/seed-$seed
        copgen sample --generator "$flow" "${transform[@]}" --n "$PAIRS" --seed "$seed" --out "$pairs"
        copgen pretrain --pairs "$pairs" --recipe "$flow" --epochs "$EPOCHS" --seed "$seed" --out "$encoder"
        copgen eval linear --ckpt "$encoder" "${probe[@]}" --lr 6
    done
done

# Top-1 of each row, with the paper's number beside it
copgen compare "$out"/{real,none,gaussian-*,optimal}
