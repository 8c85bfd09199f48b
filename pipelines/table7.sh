#!/usr/bin/env bash
# Table 7: GenRep and COP-Gen with SimCLR and with BYOL, at the scale of ImageNet-100; linear evaluation.
#
#   pipelines/table7.sh              run it; the same command resumes
#   pipelines/table7.sh --dry-run    what it costs here
#
# Needs imagenet/ or imagenet100/ below DATA, and BigBiGAN_x1.pth below WEIGHTS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}
PAIRS=${PAIRS:-130k}         # 1,300 for each class of ImageNet-100
BYOL_LR=${BYOL_LR:-0.0525}   # lightly's example, which the paper builds on: 0.06 for 256 images

for seed in $SEEDS; do
    navigator=$RUNS/bigbigan/navigator/seed-$seed
    copgen navigate --generator bigbigan --seed "$seed" --out "$navigator"

    for row in none optimal; do
        transform=(--transform none)
        [[ $row == none ]] || transform=(--transform optimal --navigator "$navigator")
        pairs=$RUNS/bigbigan/pairs-$PAIRS/$row/seed-$seed
        out=$RUNS/imagenet100/$EPOCHS-epochs/bigbigan-$PAIRS/$row
        how=(--pairs "$pairs" --recipe bigbigan --epochs "$EPOCHS" --seed "$seed")
        copgen sample --generator bigbigan "${transform[@]}" --n "$PAIRS" \
            --seed "$seed" --out "$pairs"
        copgen pretrain "${how[@]}" --method simclr --out "$out/simclr/seed-$seed"
        copgen pretrain "${how[@]}" --method byol --lr "$BYOL_LR" --out "$out/byol/seed-$seed"

        for method in simclr byol; do
            copgen eval linear --ckpt "$out/$method/seed-$seed" --dataset imagenet100 --protocol authors
        done
    done
done

# Top-1 of each row, with the paper's number beside it
copgen compare "$RUNS/imagenet100/$EPOCHS-epochs/bigbigan-$PAIRS"/{none,optimal}/{simclr,byol}
