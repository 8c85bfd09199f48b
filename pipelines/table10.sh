#!/usr/bin/env bash
# Table 10: supervised contrastive learning on ImageNet-1K, and on BigGAN-deep with every latent transform; linear evaluation
# on ImageNet-1K, detection on PASCAL VOC.
#
#   pipelines/table10.sh              run it; the same command resumes
#   pipelines/table10.sh --dry-run    what it costs here
#
# Needs imagenet/ and VOCdevkit/ below DATA; below WEIGHTS biggan-deep-128-pytorch_model.bin and
# biggan-deep-128-config.json.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SEEDS=${SEEDS:-0}
EPOCHS=${EPOCHS:-100}      # appendix E
PAIRS=${PAIRS:-1.3M}       # 1,300 of each class
generator=biggan-deep-128

for seed in $SEEDS; do
    out=$RUNS/imagenet-sup-con/$EPOCHS-epochs-$PAIRS
    how=(--method supcon --recipe "$generator" --epochs "$EPOCHS" --seed "$seed")
    copgen pretrain --dataset imagenet --split train+validation "${how[@]}" --out "$out/real/seed-$seed"

    navigator=$RUNS/$generator/navigator/seed-$seed
    walk=$RUNS/$generator/steering/seed-$seed
    copgen navigate --generator "$generator" --seed "$seed" --out "$navigator"
    copgen navigate --generator "$generator" --objective steering --seed "$seed" --out "$walk"

    for row in none gaussian steering random optimal; do
        case $row in
            gaussian) transform=(--transform gaussian-truncated --std 1) ;; # as in GenRep
            steering) transform=(--transform steering --walk "$walk") ;;
            optimal) transform=(--transform optimal --navigator "$navigator") ;;
            *) transform=(--transform "$row") ;;
        esac
        pairs=$RUNS/$generator/pairs-$PAIRS/$row/seed-$seed
        copgen sample --generator "$generator" "${transform[@]}" --n "$PAIRS" --seed "$seed" --out "$pairs"
        copgen pretrain --pairs "$pairs" "${how[@]}" --out "$out/$row/seed-$seed"
    done

    for row in real none gaussian steering random optimal; do
        copgen eval linear --ckpt "$out/$row/seed-$seed" --dataset imagenet --protocol authors
        copgen eval detect --ckpt "$out/$row/seed-$seed" --schedule authors --seed "$seed"
    done
done

# Top-1 and Top-5, and AP, AP50 and AP75 (the metric VOC07), with the paper's numbers beside them
copgen compare "$RUNS/imagenet-sup-con/$EPOCHS-epochs-$PAIRS"/{real,none,gaussian,steering,random,optimal}
