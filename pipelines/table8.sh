#!/usr/bin/env bash
# Table 8: BigBiGAN and IC-GAN as generators, without and with COP-Gen, at the scale of ImageNet-100: Inception Score and
# FID of the generators, linear evaluation of the encoders.
#
#   pipelines/table8.sh              run it; the same command resumes
#   pipelines/table8.sh --dry-run    what it costs here
#
# Needs imagenet/ below DATA; below WEIGHTS BigBiGAN_x1.pth, the folders of IC-GAN and of its stored instances, and
# weights-inception-2015-12-05-6726825d.pth. The rows of BigBiGAN are runs of table7.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}
PAIRS=${PAIRS:-130k}         # 1,300 for each class of ImageNet-100; of IC-GAN 130 for each stored instance
SPACE=${SPACE:-inception}    # the feature space of both scores
IMAGES=${IMAGES:-50k}        # generated images of both scores

for generator in bigbigan icgan-128; do
    copgen eval generator --generator "$generator" --dataset imagenet --space "$SPACE" --n "$IMAGES" \
        --out "$RUNS/scores/$generator"

    for seed in $SEEDS; do
        navigator=$RUNS/$generator/navigator/seed-$seed
        copgen navigate --generator "$generator" --seed "$seed" --out "$navigator"

        for row in none optimal; do
            transform=(--transform none)
            [[ $row == none ]] || transform=(--transform optimal --navigator "$navigator")
            pairs=$RUNS/$generator/pairs-$PAIRS/$row/seed-$seed
            encoder=$RUNS/imagenet100/$EPOCHS-epochs/$generator-$PAIRS/$row/simclr/seed-$seed
            copgen sample --generator "$generator" "${transform[@]}" --n "$PAIRS" \
                --seed "$seed" --out "$pairs"
            copgen pretrain --pairs "$pairs" --recipe "$generator" --method simclr --epochs "$EPOCHS" --seed "$seed" \
                --out "$encoder"
            copgen eval linear --ckpt "$encoder" --dataset imagenet100 --protocol authors
        done
    done
done

# Both scores of each generator and Top-1 of each row, with the paper's numbers beside them
copgen compare "$RUNS"/scores/{bigbigan,icgan-128} \
    "$RUNS/imagenet100/$EPOCHS-epochs"/{bigbigan,icgan-128}-"$PAIRS"/{none,optimal}/simclr
