#!/usr/bin/env bash
# Table 6: SimCLR and NNCLR on ImageNet-1K, and COP-Gen on BigBiGAN, over 100 and 200 epochs; linear evaluation.
#
#   pipelines/table6.sh              run it; the same command resumes
#   pipelines/table6.sh --dry-run    what it costs here
#
# Needs imagenet/ below DATA, and BigBiGAN_x1.pth below WEIGHTS.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0 1 2}          # three runs, also of the navigator (appendix C.3)
LENGTHS=${LENGTHS:-100 200}    # epochs (appendix C.3)
PAIRS=${PAIRS:-1.3M}           # as many as ImageNet-1K has images
NNCLR_LR=${NNCLR_LR:-0.0525}   # lightly's example: 0.06 for 256 images. The paper searched it, and does not give it

for seed in $SEEDS; do
    navigator=$RUNS/bigbigan/navigator/seed-$seed
    pairs=$RUNS/bigbigan/pairs-$PAIRS/optimal/seed-$seed
    copgen navigate --generator bigbigan --seed "$seed" --out "$navigator"
    copgen sample --generator bigbigan --navigator "$navigator" --n "$PAIRS" --seed "$seed" --out "$pairs"

    for epochs in $LENGTHS; do
        out=$RUNS/imagenet/$epochs-epochs
        real=(--dataset imagenet --split train+validation --recipe bigbigan --epochs "$epochs" --seed "$seed")
        made=(--pairs "$pairs" --recipe bigbigan --epochs "$epochs" --seed "$seed")
        copgen pretrain "${real[@]}" --method simclr --out "$out/simclr/seed-$seed"
        copgen pretrain "${real[@]}" --method nnclr --lr "$NNCLR_LR" --out "$out/nnclr/seed-$seed"
        copgen pretrain "${made[@]}" --method simclr --out "$out/cop-gen-$PAIRS/seed-$seed"

        for row in simclr nnclr "cop-gen-$PAIRS"; do
            copgen eval linear --ckpt "$out/$row/seed-$seed" --dataset imagenet --protocol authors
        done
    done
done

# Top-1 of each row, with the paper's number beside it
copgen compare "$RUNS"/imagenet/*-epochs/{simclr,nnclr,"cop-gen-$PAIRS"}
