"""All commands: the summary of each and where it is defined. The help of a group needs no more."""

from __future__ import annotations

from copgen_cli.commands import Entry

PIPELINE, ON_DISK, UTILITIES = "Pipeline", "Pairs on disk", "Utilities"
COPGEN = Entry(
    "From a pretrained generator to a pretrained encoder, in four commands.\n\n"
    "Each command reads the output of the one before, resumes if it was stopped,\n"
    "and prints the next command.",
    examples=("copgen navigate", "copgen sample", "copgen pretrain", "copgen eval linear"),
)
COMMANDS = {
    "navigate": Entry("Learn the navigator T_z in a generator's latent space.", "navigate:navigate", PIPELINE),
    "sample": Entry("Write pairs of images, an anchor and a positive each.", "sample:sample", PIPELINE),
    "pretrain": Entry("Train an encoder on pairs, or on real images.", "pretrain:pretrain", PIPELINE),
    "eval": Entry(
        "Evaluate an encoder, or pairs.",
        panel=PIPELINE,
        examples=("copgen eval linear --ckpt runs/pretrain", "copgen eval knn --dataset photos/ --json | jq .top1"),
    ),
    "eval linear": Entry("Train linear and few-label probes on frozen features.", "eval.linear:linear"),
    "eval knn": Entry("Classify test images by their nearest training images.", "eval.knn:knn"),
    "eval few-shot": Entry("Train linear probes on a few labels of each class.", "eval.few_shot:few_shot"),
    "eval finetune": Entry("Fine-tune the encoder on some of the labels.", "eval.finetune:finetune"),
    "eval transfer": Entry("Train probes on the features of several datasets.", "eval.transfer:transfer"),
    "eval detect": Entry("Train a detector from an encoder on PASCAL VOC, and test it.", "eval.detect:detect"),
    "eval alignment": Entry("Measure how an encoder arranges pairs of images; no labels.", "eval.alignment:alignment"),
    "eval generator": Entry("Score a generator, or pairs, against real images.", "eval.generator:generator"),
    "eval pairs": Entry("Report the health of pairs before training.", "eval.pairs:pairs"),
    "sweep": Entry("Run a grid of settings and seeds, and compare the runs.", "sweep:sweep", PIPELINE),
    "compare": Entry("Compare results of evaluations in one table.", "compare:compare", PIPELINE),
    "report": Entry("Write a page about runs: pictures, curves and tables.", "report:report", PIPELINE),
    "show": Entry("Summarise a pairs folder and render some of its pairs.", "show:show", ON_DISK),
    "verify": Entry("Find missing, truncated, modified or unexpected files.", "verify:verify", ON_DISK),
    "export": Entry("Convert pairs to folders of images or other formats.", "export:export", ON_DISK),
    "import": Entry("Import pairs made by the authors' or GenRep's scripts.", "import_pairs:import_pairs", ON_DISK),
    "generator": Entry(
        "List, import, fetch, inspect and fit generators.",
        panel=UTILITIES,
        examples=(
            "copgen generator list",
            "copgen generator import bigbigan BigBiGAN_x1.pth",
            "copgen generator inspect bigbigan --out samples.png",
        ),
    ),
    "generator list": Entry("List the known generators and which weights are available.", "generator:list_generators"),
    "generator import": Entry("Convert a published checkpoint to safetensors.", "generator_weights:import_weights"),
    "generator fetch": Entry("Download and import a generator's published weights.", "generator_weights:fetch"),
    "generator inspect": Entry("Report a generator's architecture, quality and speed.", "generator:inspect"),
    "generator fit": Entry("Fit a generator to a dataset: a Residual Flow or a small GAN.", "generator_fit:fit"),
    "navigator": Entry(
        "Import, inspect and show navigators and steering walks.",
        panel=UTILITIES,
        examples=("copgen navigator import w_COPGen_pretained.pth", "copgen navigator inspect runs/navigate"),
    ),
    "navigator import": Entry("Convert a published navigator or walk to safetensors.", "navigator:import_navigator"),
    "navigator inspect": Entry("Measure how a navigator moves samples of the prior.", "navigator:inspect"),
    "navigator show": Entry("Render anchors, positives and other step lengths.", "navigator:show"),
    "encoder": Entry(
        "Import, inspect and export encoders.",
        panel=UTILITIES,
        examples=("copgen encoder import resnet50.pth", "copgen encoder export --to timm --out encoder.pth"),
    ),
    "encoder import": Entry("Convert an encoder of another program to safetensors.", "encoder:import_encoder"),
    "encoder inspect": Entry("Report an encoder's architecture, input and origin.", "encoder:inspect"),
    "encoder export": Entry("Convert an encoder for torchvision, timm or detectron2.", "encoder:export"),
    "data": Entry(
        "List and inspect datasets and folders of images.",
        panel=UTILITIES,
        examples=("copgen data list", "copgen data inspect photos/"),
    ),
    "data list": Entry("List the known datasets, where they are, and where to get them.", "data:list_datasets"),
    "data inspect": Entry("Count the images of a dataset or folder, and find unreadable ones.", "data:inspect"),
    "recipes": Entry(
        "List, show and compare the built-in settings.",
        panel=UTILITIES,
        examples=("copgen recipes list", "copgen recipes show digits"),
    ),
    "recipes list": Entry("List the recipes.", "recipes:list_recipes"),
    "recipes show": Entry("Print a recipe as TOML.", "recipes:show"),
    "recipes diff": Entry("Compare the settings of two recipes.", "recipes:diff"),
    "doctor": Entry("Report the machine, which kernels run and why; self-test them.", "doctor:doctor", UTILITIES),
}
