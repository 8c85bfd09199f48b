#!/usr/bin/env bash
# The whole pipeline with the embedded generator, in about a minute on two cores: no GPU, no data, no weights.
#
#   pipelines/quickstart.sh              run it; the same command resumes
#   pipelines/quickstart.sh --dry-run    what it costs here
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/settings.sh"

SAMPLES=${SAMPLES:-20k}     # for the navigator
PAIRS=${PAIRS:-10k}
UPDATES=${UPDATES:-1000}    # of the encoder

copgen navigate --generator digits --samples "$SAMPLES" --out "$RUNS/navigate"
copgen sample --generator digits --navigator "$RUNS/navigate" --n "$PAIRS" --out "$RUNS/pairs"
copgen show "$RUNS/pairs" --out "$RUNS/pairs.png"
copgen pretrain --pairs "$RUNS/pairs" --recipe digits --updates "$UPDATES" --out "$RUNS/pretrain"
copgen eval linear --ckpt "$RUNS/pretrain"

# Accuracies of the probes on real digits
copgen compare "$RUNS/pretrain"
