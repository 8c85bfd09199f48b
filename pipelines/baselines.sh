#!/usr/bin/env bash
# The baselines of appendix C.1 on ImageNet-1K that have no table in the appendix: InfoMin Aug. and Neg FT; linear evaluation.
#
#   pipelines/baselines.sh              run it; the same command resumes
#   pipelines/baselines.sh --dry-run    what it costs here
#
# Needs imagenet/ below DATA.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}
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

# Top-1 of each row. The paper's numbers are in its main text, which is not at hand
copgen compare "$RUNS/imagenet/$EPOCHS-epochs"/{infomin,neg-ft}-*
