"""Whatever the bytes of an image: every reader returns an image or an error that names the file."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import copgen
from copgen import pairs
from copgen.data import decoding
from copgen.encoders import EncoderConfig, build, save_encoder
from copgen.pairs import codecs
from copgen.pairs.codecs import FORMATS, ImageFormat
from copgen.pairs.foreign_images import decode_file, image_shape
from copgen.pairs.shard import encode_pair
from copgen.runtime.errors import DataError, ExitCode
from copgen.stages.pairs_folder.import_pairs import import_pairs
from tests.cli.command import copgen as command
from tests.cli.surface import commands
from tests.pairs import folders, trees

SHAPE = (3, 16, 24)
MUTATIONS = 1000
PNG_CHUNKS = (
    b"iCCP iTXt zTXt tEXt tRNS PLTE gAMA sRGB cHRM pHYs tIME eXIf acTL fcTL fdAT bKGD sBIT IDAT IHDR xXxX".split()
)
JPG_MARKERS = b"\xe0\xe1\xe2\xed\xee\xfe\xdb\xc4\xda\xdd\xc0\xc2\xd8\xd0\xcc"
JPG_STARTS = (
    b"",
    b"JFIF\0",
    b"Exif\0\0MM\0*\0\0\0\x08",
    b"MPF\0MM\0*\0\0\0\x08",
    b"ICC_PROFILE\0\x01",
    b"Adobe",
    b"8BIM",
)
WEBP_CHUNKS = b"VP8 ,VP8L,VP8X,ANIM,ANMF,ALPH,ICCP,EXIF,XMP ,xXxX".split(b",")


def image_bytes(format: ImageFormat) -> bytes:
    """A good file of SHAPE, with more than one value in it."""
    pixels = np.add.outer(np.arange(SHAPE[1]), np.arange(SHAPE[2])).astype(np.uint8)
    return codecs.encode(np.stack([pixels] * 3), format, codecs.DEFAULT_QUALITY[format])


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def empty_profile(shape: tuple[int, int, int] = SHAPE) -> bytes:
    """A PNG whose pixels are whole, with an iCCP chunk of no bytes after them."""
    stream = io.BytesIO()
    Image.new("L" if shape[0] == 1 else "RGB", (shape[2], shape[1])).save(stream, "PNG")
    return stream.getvalue()[:-12] + png_chunk(b"iCCP", b"") + png_chunk(b"IEND", b"")


def noise(draw: np.random.Generator) -> bytes:
    return draw.bytes(int(draw.choice([0, 1, 2, 4, 7, 8, 12, 26, 60])))


def damaged(data: bytes, draw: np.random.Generator) -> bytes:
    """Between one and four bytes changed."""
    changed = bytearray(data)
    for place in draw.integers(len(data), size=int(draw.integers(1, 5))):
        changed[place] = int(draw.integers(256))
    return bytes(changed)


def mutated_png(data: bytes, draw: np.random.Generator) -> bytes:
    """A chunk with any content before one of the others, with or without its checksum."""
    starts, at = [], 8
    while at < len(data):
        starts.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    at = int(draw.choice(starts[1:]))
    chunk = png_chunk(PNG_CHUNKS[int(draw.integers(len(PNG_CHUNKS)))], noise(draw))
    return data[:at] + (damaged(chunk, draw) if draw.random() < 0.3 else chunk) + data[at:]


def mutated_jpg(data: bytes, draw: np.random.Generator) -> bytes:
    """A segment with any content after one of the others: before the frame, or before the pixels."""
    at = int(draw.choice([2, data.index(b"\xff\xda")]))
    content = JPG_STARTS[int(draw.integers(len(JPG_STARTS)))] + noise(draw)
    kind = JPG_MARKERS[int(draw.integers(len(JPG_MARKERS)))]
    return data[:at] + struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content + data[at:]


def mutated_webp(data: bytes, draw: np.random.Generator) -> bytes:
    """A chunk with any content behind the frame."""
    content = noise(draw)
    chunk = WEBP_CHUNKS[int(draw.integers(len(WEBP_CHUNKS)))] + struct.pack("<I", len(content)) + content
    more = data[8:] + chunk + b"\0" * (len(content) % 2)
    return b"RIFF" + struct.pack("<I", len(more)) + more


MUTATED: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "png": mutated_png,
    "jpg": mutated_jpg,
    "webp": mutated_webp,
}


def mutations(format: ImageFormat) -> Iterator[bytes]:
    """A thousand files: changed chunks and, for a third, changed bytes besides."""
    good, draw = image_bytes(format), np.random.default_rng(0)
    for _ in range(MUTATIONS):
        data = MUTATED[format](good, draw)
        yield damaged(data, draw) if draw.random() < 0.3 else data


@pytest.mark.parametrize("format", FORMATS)
def test_mutated_chunks_give_an_image_or_a_reason(format: ImageFormat) -> None:
    images, reasons = 0, set()
    for data in mutations(format):
        try:
            images += codecs.decode(data, format, SHAPE).shape == SHAPE
        except ValueError as error:
            reasons.add(str(error))
    assert images > MUTATIONS // 20
    assert len(reasons) > 2


FAULTS = (IndexError("x"), KeyError("x"), RuntimeError(), AttributeError("x"), AssertionError(), ZeroDivisionError())


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
@pytest.mark.parametrize("format", FORMATS)
def test_any_exception_of_the_decoder_is_a_reason(
    format: ImageFormat, fault: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **more: object) -> None:
        raise fault

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(ValueError, match=re.escape(str(fault) or type(fault).__name__)):
        codecs.decode(image_bytes(format), format, SHAPE)


def test_two_files_read_with_pillow() -> None:
    """Images of pairs, and images of any format: what is true of these two is true of every command."""
    package = Path(copgen.__file__).parent
    reading = re.compile(r"\bImage\.open\b|\bdecode_image\b|\bread_image\b|\bimread\b")
    readers = [path for path in package.rglob("*.py") if reading.search(path.read_text("utf-8"))]
    assert sorted(str(path.relative_to(package)) for path in readers) == ["data/decoding.py", "pairs/pillow.py"]


@pytest.mark.parametrize("format", FORMATS)
def test_mutated_files_of_another_program_give_an_image_or_a_reason(format: ImageFormat, tmp_path: Path) -> None:
    """The two steps of an import: the header of the first image, then the pixels of each."""
    path, images, refusals = tmp_path / f"a.{format}", 0, set()
    for data in mutations(format):
        path.write_bytes(data)
        try:
            image_shape(path)
        except DataError as error:
            refusals.add(error.what)
        with suppress(ValueError):
            images += decode_file(path, SHAPE).shape == SHAPE
    assert images > MUTATIONS // 20
    assert [what for what in refusals if str(path) not in what] == []


@pytest.mark.parametrize("format", FORMATS)
def test_mutated_files_of_a_dataset_give_an_image_or_a_reason(format: ImageFormat) -> None:
    images, refusals = 0, set()
    for data in mutations(format):
        for read in (lambda data: decoding.read_header(data, "a"), lambda data: decoding.decode(data, 3, "a")):
            try:
                images += bool(len(read(data)))
            except DataError as error:
                refusals.add(error.what)
    assert images > MUTATIONS // 20
    assert [what for what in refusals if not what.startswith("a ")] == []


def unreadable(format: ImageFormat) -> list[bytes]:
    """The empty profile, and two mutations that no reader takes."""
    bad = [empty_profile()] if format == "png" else []
    for data in mutations(format):
        try:
            codecs.decode(data, format, SHAPE)
        except ValueError:
            bad.append(data)
        if len(bad) == 3:
            break
    return bad


# The commands that read a folder of images, and the argument or option that names it. Exports decode JPEG and WebP
# only; PNG files are copied.
READERS = {
    ("verify", "pairs"): "{images} --decode",
    ("show", "pairs"): "{images} --out {out}.png",
    ("export", "pairs"): "{images} --to genrep --out {out}",
    ("pretrain", "pairs"): "--pairs {images} --out {out} --updates 1 --batch 2 --encoder resnet18",
    ("pretrain", "dataset"): "--dataset {images} --out {out} --updates 9 --batch 2 --encoder resnet18",
    ("import", "folder"): "{images} --out {out}",
    ("eval linear", "dataset"): "--dataset {images} --ckpt {images}/../encoder.safetensors",
    ("eval knn", "dataset"): "--dataset {images} --ckpt {images}/../encoder.safetensors",
    ("eval few-shot", "dataset"): "--dataset {images} --ckpt {images}/../encoder.safetensors --labels 1",
    (
        "eval alignment",
        "dataset",
    ): "--dataset {images} --ckpt {images}/../encoder.safetensors --split train --loss-batch 2",
    ("eval alignment", "pairs"): "--pairs {images} --ckpt {images}/../encoder.safetensors --loss-batch 2",
    ("eval finetune", "dataset"): "--dataset {images} --ckpt {images}/../encoder.safetensors --percent 100 --epochs 1",
    ("eval pairs", "pairs"): "{images} --classifier none --out {out}",
    ("eval pairs", "dataset"): "{images}/../pairs --dataset {images} --encoder {images}/../encoder.safetensors",
    ("data inspect", "dataset"): "{images}",
}
# Not in the table: scores need 20 images or more, and detection reads the folders of VOC.
OTHERS = {("eval generator", "pairs"), ("eval generator", "dataset"), ("eval detect", "dataset")}


def test_the_table_has_every_command_that_reads_images() -> None:
    found = set()
    for path, one in commands():
        for parameter in one.params:
            if parameter.name in ("pairs", "folder", "images", "dataset") and parameter.metavar != "NAME":
                found.add((path.removeprefix("copgen "), parameter.name))
    assert found == set(READERS) | OTHERS


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("format", FORMATS)
def test_the_commands_that_read_images_name_the_file(
    format: ImageFormat, reader: tuple[str, str], tmp_path: Path
) -> None:
    put = put_pairs if reader[1] == "pairs" else put_labelled if reader[0].startswith("eval") else put_tree
    for number, bad in enumerate(unreadable(format)):
        folder = tmp_path / str(number)
        named = put(folder / "images", format, bad)
        words = READERS[reader].format(images=folder / "images", out=folder / "out").split()
        ended = command(*reader[0].split(), *words)
        if reader[0] == "export" and format == "png":
            assert ended.code == ExitCode.DONE
            continue
        assert ended.code == ExitCode.DATA, ended.err
        assert named in ended.out + ended.err
        assert str(folder) in ended.out + ended.err


def put_pairs(path: Path, format: ImageFormat, bad: bytes) -> str:
    """A pairs folder whose hashes agree, with a bad image as its second positive; the name of that member."""
    quality, versions = codecs.DEFAULT_QUALITY[format], codecs.encoder_versions(format, SHAPE)
    plan = folders.plan(pairs=3, image_shape=SHAPE, image_format=format, quality=quality, versions=versions)
    encoded = [encode_pair(plan, folders.pair(plan, index)) for index in range(3)]
    anchor, _, metadata = encoded[1].members
    encoded[1] = replace(encoded[1], members=(anchor, bad, metadata))
    plan.save(path)
    pairs.write_shard(path, plan, 0, encoded)
    pairs.finish(path, plan)
    put_encoder(path.parent)
    return f"000000001.positive.{format}"


def put_tree(path: Path, format: ImageFormat, bad: bytes) -> str:
    """A tree of the authors' with a bad image as its second positive; the name of that file."""
    (path / "n01").mkdir(parents=True)
    for sample in range(3):
        for role in ("anchor", "neighbor"):
            data = bad if (sample, role) == (1, "neighbor") else image_bytes(format)
            (path / "n01" / f"seed0000_sample0000{sample}_{role}.{format}").write_bytes(data)
    return f"seed0000_sample00001_neighbor.{format}"


@pytest.mark.parametrize("role", ["anchor", "neighbor"])
@pytest.mark.parametrize("pair", [0, 1])
def test_import_names_the_file(role: str, pair: int, tmp_path: Path) -> None:
    tree = trees.tree(tmp_path / "tree", {"n01": 3})
    path = tree / "train" / "n01" / f"seed0000_sample{pair:05d}_{role}.png"
    path.write_bytes(empty_profile(trees.SHAPE))
    with pytest.raises(DataError, match=re.escape(str(path))):
        import_pairs(tree, out=tmp_path / "pairs")


def put_encoder(folder: Path) -> None:
    config = EncoderConfig(arch="digits", in_channels=3, image_size=8, views="none")
    save_encoder(folder / "encoder.safetensors", build("digits", 3), config, {})


def put_labelled(path: Path, format: ImageFormat, bad: bytes) -> str:
    """Two classes with a test split and a bad training image, beside an encoder and pairs; the name of that file."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (path / split / name).mkdir(parents=True)
            for number in range(5):
                data = bad if (split, name, number) == ("train", "cat", 1) else image_bytes(format)
                (path / split / name / f"{number}.{format}").write_bytes(data)
    put_encoder(path.parent)
    folders.write(path.parent / "pairs", folders.plan(image_shape=SHAPE))
    return f"cat/1.{format}"
