# Sourced by every pipeline: the folders, and how its commands run. Set the variables in the environment:
#
#   DATA=/data WEIGHTS=/weights GPUS=8 pipelines/table6.sh
#
# shellcheck shell=bash

# With COPGEN_TOY=1 all of them are those of `python -m tests.pipelines.toy toy`: narrow random generators and tiny data,
# to try every line in minutes on a CPU. The numbers mean nothing.
if [[ ${COPGEN_TOY:-} == 1 ]]; then
    if [[ ! -f ${TOY:-toy}/variables.sh ]]; then
        echo "There is no ${TOY:-toy}/variables.sh. Make the folder with python -m tests.pipelines.toy toy, or name it in TOY." >&2
        exit 2
    fi
    # shellcheck source=/dev/null
    source "${TOY:-toy}/variables.sh"
fi

DATA=${DATA:-${COPGEN_DATA:-}}          # imagenet/, mnist/ and VOCdevkit/; empty: in the user's cache (docs/data.md)
WEIGHTS=${WEIGHTS:-${COPGEN_WEIGHTS:-}} # the generators; empty: in the user's cache (docs/generators.md)
RUNS=${RUNS:-runs}                      # everything that is written; tables share what they have in common
GPUS=${GPUS:-}                          # GPUs of this machine for training and sampling; empty: one, or the CPU
CONFIG=${CONFIG:-}                      # a settings file with a table for every kind of command, below the scripts' flags
export COPGEN_DATA=$DATA COPGEN_WEIGHTS=$WEIGHTS

DRY_RUN=
case "$#:${1:-}" in
    0:) ;;
    1:--dry-run) DRY_RUN=yes ;; # print what each command would cost here, and write nothing
    *) echo "usage: ${0##*/} [--dry-run]" >&2 && exit 2 ;;
esac

# Runs a command, or plans it. All of them resume, so that the same pipeline goes on where it was stopped.
copgen() {
    local words=("$@")
    case "$*" in
        navigate* | sample* | pretrain* | eval*) [[ -z $CONFIG ]] || words+=(--config "$CONFIG") ;;
    esac
    case "$*" in
        *"--objective steering"*) ;;
        navigate* | pretrain* | "eval detect"*) [[ -z $GPUS ]] || words+=(--nproc "$GPUS") ;;
        sample*) [[ -z $GPUS ]] || words+=(--workers "$GPUS") ;;
    esac
    if [[ -n $DRY_RUN ]]; then
        plan "${words[@]}"
    else
        printf '\n$ copgen%s\n' "$(quoted "${words[@]}")" >&2
        run "${words[@]}"
    fi
}

# Runs a command and passes signals on to it: bash alone would end, and leave the command running, or wait for its end.
run() {
    local status=0
    set -m # a command in the background hears an interrupt
    command copgen "$@" &
    set +m
    CHILD=$!
    wait "$CHILD" || status=$?
    while kill -0 "$CHILD" 2>/dev/null; do # a signal has ended the wait, not yet the command
        status=0
        wait "$CHILD" || status=$?
    done
    CHILD=
    return "$status"
}

# Signals the command and the processes that it has started.
signal_all() {
    [[ -z $CHILD ]] || kill "-$1" -- "-$CHILD"
}

CHILD= # the command that runs
trap '[[ -z $CHILD ]] && exit 130 || kill -INT "$CHILD"' INT
trap '[[ -z $CHILD ]] && exit 143 || kill -TERM "$CHILD"' TERM
trap '[[ -z $CHILD ]] && exit 140 || kill -USR2 "$CHILD"' USR2 # of a scheduler, before its time is over
trap '[[ -z $CHILD ]] && exit 129 || kill -HUP "$CHILD"' HUP   # of a terminal that is closed
trap 'signal_all STOP; kill -STOP $$; signal_all CONT' TSTP                 # Ctrl-Z, until fg or bg

# Words as a shell reads them, each after a space.
quoted() {
    printf ' %q' "$@"
}

declare -A COSTS=() # of commands that differ in the seed only
TOTAL="0 0"         # seconds, bytes
FAILED=0            # the exit code of a command that cannot run here
[[ -z $DRY_RUN ]] || trap planned EXIT

# The last line of a plan, which fails if one of its commands would.
planned() {
    local status=$?
    [[ $status == 0 ]] || exit "$status"
    [[ $FAILED == 0 ]] || echo "# some of it cannot run here: see the errors" >&2
    echo "# in all $(cost "$TOTAL"), without what has no estimate"
    exit "$FAILED"
}

# Says what a command would cost. An earlier step may not have written yet what it reads: a Gaussian step stands for a
# navigator or walk, and pairs made meanwhile stand for a folder, which makes the time an upper bound.
plan() {
    local words=("$@") key=$* bound='' answer path
    key=${key//seed[- ]${seed:-0}/seed}
    printf 'copgen%s\n' "$(quoted "$@")"
    path=$(value_of --out "$@")
    if [[ $1 == navigate || $1 == pretrain ]] && compgen -G "$path/*.safetensors" >/dev/null; then
        echo "# finished"
        return
    fi
    case "$1 $2" in
        sample*)
            path=$(value_of --navigator "$@")$(value_of --walk "$@")
            [[ -z $path ]] || compgen -G "$path/*.safetensors" >/dev/null || words+=(--transform gaussian)
            ;;
        pretrain*)
            path=$(value_of --pairs "$@")
            if [[ -n $path && ! -e $path/manifest.json ]]; then
                words+=(--pairs "online:$(value_of --recipe "$@")" --transform none --online-n "$PAIRS")
                bound="at most "
            fi
            ;;
        "eval detect") # the training of the detector
            path=$(value_of --ckpt "$@")
            if [[ -e $path/eval/detect/results.json ]]; then
                echo "# finished"
                return
            fi
            [[ -e $path/encoder.safetensors ]] || return 0
            ;;
        navigate*) ;;
        *) return 0 ;;
    esac
    if [[ -z ${COSTS[$key]:-} ]]; then
        if ! answer=$(command copgen "${words[@]}" --dry-run --json --quiet); then
            command copgen "${words[@]}" --dry-run --quiet >/dev/null || FAILED=$? # says why
            return 0
        fi
        COSTS[$key]=$(sed -n 's/^ *"\(seconds\|disk_bytes\)": \([0-9.e+-]*\),\{0,1\}$/\2/p' <<<"$answer" | tr '\n' ' ')
    fi
    TOTAL=$(awk '{ print $1 + $3, $2 + $4 }' <<<"$TOTAL ${COSTS[$key]}")
    printf '# %s%s\n' "$bound" "$(cost "${COSTS[$key]}")"
}

# The value of an option among the words of a command; empty without it.
value_of() {
    local option=$1 word before=''
    shift
    for word; do
        [[ $before != "$option" ]] || printf '%s' "$word"
        before=$word
    done
}

# Seconds and bytes in words.
cost() {
    awk '{
        if ($1 < 100) printf "%.0f s", $1; else if ($1 < 6000) printf "%.0f min", $1 / 60; else printf "%.1f h", $1 / 3600
        if ($2 < 1e9) printf ", %.0f MB of disk", $2 / 1e6; else printf ", %.0f GB of disk", $2 / 1e9
    }' <<<"$1"
}
