"""All commands: what each does, in a line, and where it is. The help of a group needs no more."""

from __future__ import annotations

from copgen_cli.commands import Entry

PIPELINE, ON_DISK, UTILITIES = "Pipeline, in this order", "Pairs on disk", "Utilities"
COPGEN = Entry(
    "From a pretrained generator to a pretrained encoder, in four commands.\n\n"
    "Each reads what the one before wrote, resumes where it was stopped, and says what to type next.",
    examples=("copgen navigate", "copgen sample", "copgen pretrain", "copgen eval linear"),
)
COMMANDS = {
    "navigate": Entry("Learn the navigator T_z in a generator's latent space.", "navigate:navigate", PIPELINE),
    "sample": Entry("Write pairs of images, an anchor and its positive.", "sample:sample", PIPELINE),
    "pretrain": Entry("Learn an encoder from pairs by SimCLR, or from real images.", "pretrain:pretrain", PIPELINE),
    "eval": Entry(
        "Evaluate an encoder.",
        panel=PIPELINE,
        examples=("copgen eval linear --ckpt runs/pretrain", "copgen eval linear --ckpt runs/real --json | jq .top1"),
    ),
    "eval linear": Entry("Probe frozen features with real labels.", "eval:linear"),
    "show": Entry("Say what is in a pairs folder, and draw a sheet of its pairs.", "show:show", ON_DISK),
    "verify": Entry("Find missing, truncated, modified or unexpected files of pairs.", "verify:verify", ON_DISK),
    "export": Entry("Write pairs in a form that other programs read.", "export:export", ON_DISK),
    "import": Entry(
        "Bring in pairs that the authors' or GenRep's scripts made.",
        "import_pairs:import_pairs",
        ON_DISK,
    ),
    "generator": Entry(
        "List, import, fetch, inspect and fit generators.",
        panel=UTILITIES,
        examples=(
            "copgen generator list",
            "copgen generator import bigbigan BigBiGAN_x1.pth",
            "copgen generator inspect bigbigan --out samples.png",
        ),
    ),
    "generator list": Entry(
        "List the generators that copgen knows, and whose weights are here.", "generator:list_generators"
    ),
    "generator import": Entry(
        "Check a published checkpoint, and keep it as safetensors.", "generator_weights:import_weights"
    ),
    "generator fetch": Entry("Download a generator's published weights, and import them.", "generator_weights:fetch"),
    "generator inspect": Entry(
        "Say what a generator is, how good, and how fast on this machine.",
        "generator:inspect",
    ),
    "generator fit": Entry("Fit a generator to its data.", "generator_fit:fit"),
    "navigator": Entry(
        "Import, inspect and show navigators and steering walks.",
        panel=UTILITIES,
        examples=("copgen navigator import w_COPGen_pretained.pth", "copgen navigator inspect runs/navigate"),
    ),
    "navigator import": Entry(
        "Turn the authors' pickled navigator, or a walk of GenRep's, into copgen's.", "navigator:import_navigator"
    ),
    "navigator inspect": Entry("Say what a navigator does to draws of the prior.", "navigator:inspect"),
    "navigator show": Entry("Draw a sheet: anchors, positives, and the movement at other lengths.", "navigator:show"),
    "recipes": Entry(
        "List, show and compare the settings that come with copgen.",
        panel=UTILITIES,
        examples=("copgen recipes list", "copgen recipes show digits"),
    ),
    "recipes list": Entry("List the recipes, and what each is for.", "recipes:list_recipes"),
    "recipes show": Entry("Show a recipe as it is written, in TOML.", "recipes:show"),
    "recipes diff": Entry("Show the settings in which two recipes differ.", "recipes:diff"),
    "doctor": Entry("Show what this machine offers and which kernels run; self-test them.", "doctor:doctor", UTILITIES),
}
