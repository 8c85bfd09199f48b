"""Something of every kind that a command reads, in small, and a command line that reads each path of every command."""

from __future__ import annotations

from pathlib import Path

import torch

from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.latents.navigator import new_navigator, save_navigator
from copgen.latents.prior import Prior
from copgen.latents.walks import Walk, save_walk
from tests.cli.command import copgen
from tests.cli.conftest import QUICK_PROBES
from tests.data import shapes
from tests.pairs.trees import tree
from tests.report.comparison import made as results
from tests.stages.published import write_bigbigan, write_icgan
from tests.stages.small import write_flow
from tests.storage.foreign.files import authors_navigator

FLOW = "--generator digits --weights {world}/flow.safetensors"
FEW = "--space pixels --n 20 --real-n 20"
ICGAN = "--generator icgan-128 --weights {world}/icgan_biggan_imagenet_res128"
# The words after a command's name, where it needs any; those of 'COMMAND OPTION' hold for this option.
WORDS = {
    "navigate": f"{FLOW} --samples 64 --batch 64",
    "navigate --instances": f"{ICGAN} --samples 64 --batch 64",
    "navigate --data-root": f"{FLOW} --samples 64 --batch 64 --probe-on imagenet",
    "sample": f"{FLOW} --n 8 --transform none",
    "sample --instances": f"{ICGAN} --n 8 --transform none",
    "sample --navigator": f"{FLOW} --n 8",
    "sample --walk": f"{FLOW} --n 8 --transform steering",
    "sample --filter-encoder": f"{FLOW} --n 8 --transform none --min-similarity 0",
    "pretrain": "--pairs {world}/pairs --updates 1 --batch 8",
    "pretrain --weights": "--pairs online:digits --transform gaussian --online-n 8 --updates 1 --batch 8",
    "pretrain --dataset": "--updates 1 --batch 8",
    "pretrain --data-root": "--dataset imagenet --updates 1 --batch 8",
    "data inspect --data-root": "imagenet",
    "eval linear": "--ckpt {world}/encoder.safetensors --config {world}/probes.toml",
    "eval knn": "--ckpt {world}/encoder.safetensors",
    "eval few-shot": "--ckpt {world}/encoder.safetensors --labels 1 --draws 2",
    "eval pairs": "{world}/pairs --classifier none",
    "eval pairs --dataset": "{world}/pairs --encoder {world}/encoder.safetensors",
    "eval pairs --data-root": "{world}/pairs --encoder {world}/encoder.safetensors --dataset imagenet",
    "eval finetune": "--ckpt {world}/encoder.safetensors --labels 1 --draws 2 --config {world}/quick.toml",
    "eval finetune --data-root": "--ckpt {world}/encoder.safetensors --dataset imagenet",
    "eval transfer": "--ckpt {world}/encoder.safetensors",
    "eval transfer --data-root": "--ckpt {world}/encoder.safetensors --datasets imagenet",
    "eval detect": "--ckpt {world}/encoder.safetensors --dataset {world}/VOC2007 --config {world}/detect.toml",
    "eval detect --data-root": "--ckpt {world}/encoder.safetensors --config {world}/detect.toml",
    "eval alignment": "--ckpt {world}/encoder.safetensors --loss-batch 8",
    "eval alignment --data-root": "--ckpt {world}/encoder.safetensors --dataset imagenet",
    "eval linear --data-root": "--ckpt {world}/encoder.safetensors --dataset imagenet",
    "eval knn --data-root": "--ckpt {world}/encoder.safetensors --dataset imagenet",
    "eval few-shot --data-root": "--ckpt {world}/encoder.safetensors --dataset imagenet",
    "eval generator": f"{FLOW} {FEW}",
    "eval generator --pairs": FEW,
    "eval generator --navigator": f"{FLOW} {FEW} --images positives",
    "eval generator --walk": f"{FLOW} {FEW} --images positives --transform steering",
    "eval generator --data-root": f"{FLOW} {FEW} --dataset imagenet --convert-channels",
    "sweep": "digits --set weights={world}/flow.safetensors --set samples=64,128 --set batch=64",
    "compare": "{world}/evaluated",
    "report": "{world}/evaluated",
    "show": "{world}/pairs",
    "verify": "{world}/pairs",
    "export": "{world}/pairs --to genrep --out exported",
    "import": "{world}/tree",
    "generator import": "bigbigan {world}/BigBiGAN_x1.pth",
    "generator import --instances": "icgan-128 {world}/icgan_biggan_imagenet_res128",
    "generator fetch": "bigbigan",
    "generator inspect": "digits --weights {world}/flow.safetensors",
    "generator inspect --instances": "icgan-128 --weights {world}/icgan_biggan_imagenet_res128",
    "generator fit": "digits --updates 1 --batch 8",
    "generator fit --data-root": "imagenet --image-size 32 --updates 1 --batch 8",
    "encoder import": "{world}/resnet18.pth",
    "encoder inspect": "--ckpt {world}/encoder.safetensors",
    "encoder export": "--ckpt {world}/resnet18.pth --to timm --out out.safetensors",
    "navigator import": "{world}/w_COPGen_pretained.pth",
    "navigator inspect": "{world}/navigator.safetensors --weights {world}/flow.safetensors --draws 200",
    "navigator show": "{world}/navigator.safetensors --weights {world}/flow.safetensors --n 1",
}


def make_world(folder: Path) -> Path:
    """The files that `WORDS` name, in a folder."""
    weights = write_flow(folder / "flow.safetensors")
    made_by = {"generator": "digits", "settings": {"generator": "digits", "weights": str(weights)}}
    navigator = new_navigator(64, prior=Prior(), seed=0)
    save_navigator(folder / "navigator.safetensors", navigator, made_by=made_by)
    save_walk(folder / "walk.safetensors", Walk("edits", 64, channels=1), made_by=made_by)
    config = EncoderConfig(arch="digits", in_channels=1, image_size=8, views="mnist")
    save_encoder(folder / "encoder.safetensors", build("digits", 1), config, {})
    torch.save(build("resnet18").state_dict(), folder / "resnet18.pth")
    (folder / "probes.toml").write_text(QUICK_PROBES)
    (folder / "quick.toml").write_text("epochs = 1\nlr = 0.1\nvalidation_images = 10\nc_grid = [0.01]\n")
    shapes.year(folder / "VOC2007", trainval=2, test=1, side=48)
    (folder / "detect.toml").write_text(shapes.TINY)
    sampled = copgen("sample", *words("sample", "", folder), "--out", folder / "pairs")
    assert sampled.code == 0, sampled.err
    results.written(folder / "evaluated", results.made_by())
    tree(folder / "tree")
    write_bigbigan(folder / "BigBiGAN_x1.pth")
    write_icgan(folder)
    authors_navigator(folder / "w_COPGen_pretained.pth")
    return folder


def words(command: str, option: str, world: Path) -> list[str]:
    """The words after the name of a command that make it read or write the path of an option."""
    line = WORDS.get(f"{command} {option}", WORDS.get(command, ""))
    return line.format(world=world).split()


def replaced(given: list[str], option: str, value: Path | str, *, argument: int | None) -> list[str]:
    """Words with another value of an option, or of an argument by its place."""
    if argument is not None:
        return [*given[:argument], str(value), *given[argument + 1 :]]
    if option in given:
        place = given.index(option) + 1
        return [*given[:place], str(value), *given[place + 1 :]]
    return [*given, option, str(value)]
