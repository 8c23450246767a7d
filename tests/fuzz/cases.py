"""Random input for what takes in files and command lines: each case checks itself.

A case gets random numbers, from hypothesis or from a seed; it raises AssertionError, or whatever else should not be
raised. `benchmarks/fuzz.py` runs a million of them, the tests a few hundred.
"""

import contextlib
import csv
import io
import json
import math
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image

from synthaug import checked_rows
from synthaug.arms import mixing
from synthaug.arms.mixing import LARGEST, Mix
from synthaug.config import hydra_guard, sweep
from synthaug.config.command_line import normalize_argv
from synthaug.config.compose import Composer, initialized_hydra
from synthaug.config.job import without_hydra
from synthaug.config.schema import CONF, EXPERIMENTS, register
from synthaug.config.validation import validate
from synthaug.data.decoding import FORMATS, decode
from synthaug.data.samples import SYNTHETIC, Sample
from synthaug.errors import UserError
from synthaug.files import read_json, write_json
from synthaug.row_log import DamagedLogError, LogWriter, logged_rows
from synthaug.yaml_files import check_text
from tests.factories.images import sample

Case = Callable[[random.Random], None]
SECONDS = 20.0  # of a case on a busy machine
_SHARES = (0, 1, 0.5, 0.1, 0.35, 0.65, 1 / 3, 2.5, 0.001, 1e-9, 0.999999, 1.0000001)
_SIGNS = "aB0 \"',;\n\r\t\0é\u2028𝔸=*&[]{}:#%${}\\/-"


def text(chance: random.Random, most: int = 12) -> str:
    """A short text of signs that formats care for."""
    return "".join(chance.choice(_SIGNS) for _ in range(chance.randrange(most + 1)))


def mutated(chance: random.Random, content: bytes) -> bytes:
    """A content with a few bytes changed, cut out, doubled or put in."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
        place = chance.randrange(len(changed) + 1)
        length = min(chance.choice((1, 1, 2, 4, 8, 64)), len(changed) - place)
        match chance.randrange(6):
            case 0:
                del changed[place:]
            case 1:
                del changed[place : place + length]
            case 2:
                changed[place:place] = changed[place : place + length]
            case 3:
                changed[place:place] = chance.randbytes(length)
            case 4 if length:
                changed[place] ^= 1 << chance.randrange(8)
            case _:
                changed[place : place + length] = chance.choice((b"\0", b"\xff")) * length
    return bytes(changed)


# Mixing.


@cache
def _images(origin: str, ordered: bool) -> list[list[Sample]]:
    return [
        [sample(number, f"class{label}", label, origin, number if ordered else None) for number in range(40)]
        for label in range(5)
    ]


def mix(chance: random.Random) -> None:
    """A mix of classes of any size has exactly its images, or says why not."""
    classes = [f"class{label}" for label in range(chance.randrange(1, 6))]
    sizes = [chance.randrange(chance.choice((3, 12, 31))) for _ in classes]
    real = [image for images, size in zip(_images("real", False), sizes, strict=False) for image in images[:size]]
    more = [
        image for images, size in zip(_images("real", False), sizes, strict=False) for image in images[size : size + 6]
    ]
    pool = [image for images in _images(SYNTHETIC, chance.random() < 0.5)[: len(classes)] for image in images]
    fill = chance.choice((None, None, LARGEST, chance.randrange(40), {chance.choice(classes): chance.randrange(40)}))
    shots = chance.choice((None, None, chance.randrange(12)))
    share = chance.choice((*_SHARES, chance.random(), chance.uniform(0, 3)))
    requested = Mix(share, 0 if fill is not None else chance.choice((*_SHARES, chance.random())), shots, fill)
    seed = chance.randrange(2**32)
    try:
        counts = mixing.required(real, classes, requested, more)
        chosen = mixing.select(real, pool, counts, seed, more)
    except UserError:
        return
    chance.shuffle(real)
    chance.shuffle(pool)
    again = mixing.select(real, pool, counts, seed, more)
    assert [image.file for image in again] == [image.file for image in chosen], "the order of the lists matters"
    assert len({image.file for image in chosen}) == len(chosen), "an image twice"
    for name, size in zip(classes, sizes, strict=True):
        images = [image for image in chosen if image.class_name == name]
        synthetic = sum(image.origin == SYNTHETIC for image in images)
        assert (len(images) - synthetic, synthetic) == (counts[name].real, counts[name].synthetic)
        if shots is None:
            assert len(images) - synthetic == math.floor(Fraction(repr(float(share))) * size + Fraction(1, 2))
        if fill is None and shots is None:
            total = (Fraction(repr(float(share))) + Fraction(repr(float(requested.synthetic)))) * size
            assert len(images) == math.floor(total + Fraction(1, 2))


# Manifests and other tables, and records.


@cache
def _folder() -> Path:
    root = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir=root))


def rows(chance: random.Random) -> None:
    """Of a damaged table no wrong row is read, and what was lost in the midst of it is told."""
    header = ["class", "index", "prompt"]
    written = [[text(chance, 6), str(number), text(chance)] for number in range(chance.randrange(5))]
    path = _folder() / f"table{os.getpid()}.csv"
    checked_rows.write_checked_rows(path, header, written)
    whole = path.read_bytes()
    content = mutated(chance, whole) if chance.random() < 0.95 else whole
    path.write_bytes(content)
    read, damaged = checked_rows.read_checked_rows(path, header)
    if content == whole:
        assert (read, damaged) == (written, [])
    assert all(row in written for row in read), "a row that nobody wrote"
    lost = [row for row in written if row not in read]
    if lost and not damaged:  # whole lines, that leave no trace
        kept = [line for line in csv.reader(io.StringIO(content.decode(errors="replace"), newline="")) if line]
        assert len(kept) == len(read) + 1, "rows were lost without a word"


def row_log(chance: random.Random) -> None:
    """Of a log of rows with one wrong byte no row is wrong, and none is lost in silence but the last two."""
    header = ["class", "index", "prompt"]
    written = [[text(chance, 6), str(number), text(chance)] for number in range(chance.randrange(1, 6))]
    path = _folder() / f"log{os.getpid()}.csv"
    path.unlink(missing_ok=True)
    with LogWriter(path, header) as log:
        log.append(written[:-1])
        last = path.stat().st_size
        log.append(written[-1:])
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    content[place] = chance.choice((content[place] ^ 1 << chance.randrange(8), 0, 10, 13, 34, 44))
    path.write_bytes(content)
    with contextlib.suppress(DamagedLogError):
        read = list(logged_rows(path, header))
        # The end of the row before the last is that of both, where it is no longer an end.
        assert (
            read == written or (place >= last and read == written[:-1]) or (place >= last - 1 and read == written[:-2])
        )
        added = [["new", "9", "row"]]
        with LogWriter(path, header) as log:
            log.append(added)
        assert list(logged_rows(path, header)) == read + added


def record(chance: random.Random) -> None:
    """A damaged record is read as it was written, or refused."""
    values = (chance.random(), chance.randrange(9**20), None, True, [text(chance)], {text(chance): text(chance)})
    content = {text(chance, 5): chance.choice(values) for _ in range(4)}
    path = _folder() / f"record{os.getpid()}.json"
    write_json(path, content)
    damaged = mutated(chance, path.read_bytes())
    path.write_bytes(damaged)
    try:
        read = read_json(path)
    except UserError:
        return
    if b'"checksum": "' in damaged:
        assert read == json.loads(json.dumps(content)), "another record"


# Configuration.


@cache
def _composed() -> list[Any]:
    register()
    configs = []
    for words in ([], ["mix=64"], ["dataset=imagefolder", "dataset.root=photos"], ["generator=sd15", "mix=real20"]):
        with initialized_hydra(None) as composer:
            configs.append(without_hydra(composer.compose(words)))
    return configs


def _value(chance: random.Random) -> Any:
    return chance.choice(
        (
            None, True, False, 0, 1, -1, 0.5, -0.0, 1e308, 10**30, math.nan, math.inf, "", "real", "null", "../x", "/",
            "a\0b", "${seed}", "${nowhere}", "${oc.env:HOME}", [], {}, [1, [2]], {"a": {"b": 1}}, text(chance),
            chance.randrange(-5, 300), chance.uniform(-2, 2), [text(chance, 3)] * 3, {text(chance, 4): 1},
        )
    )  # fmt: skip


def configuration(chance: random.Random) -> None:
    """A configuration with wrong values is refused in sentences."""
    config = chance.choice(_composed()).copy()
    OmegaConf.set_struct(config, False)
    OmegaConf.set_readonly(config, False)
    typed = []
    for _ in range(chance.choice((1, 1, 2, 4))):
        node, path = config, []
        while True:
            key = chance.choice([*map(str, node), text(chance, 4)])
            path.append(key)
            child: Any = node._get_child(key) if key in node else None
            if not OmegaConf.is_dict(child) or child._is_none() or chance.random() < 0.3 or not len(child):
                break
            node = child
        if OmegaConf.is_dict(child) and not child._is_none():  # which the schema keeps: a merge refuses other values
            continue
        try:
            node[key] = _value(chance)
        except (OmegaConfBaseException, UnicodeError):  # of a type that the schema has for it
            continue
        typed.append(".".join(path))
    try:
        problems = validate(config, typed)
    except UserError as error:
        problems = [str(error)]
    assert all(isinstance(problem, str) and problem for problem in problems)


_WORDS = (
    "-m", "mix=real", "mix=55,64", "mix.real=0.5", "mix.synthetic=.5", "seed=0,1", "seed=range(3)", "+a=1",
    "~generator", "--multirun", "--config-dir", "conf", "-cn", "--help", "trainer.max_epochs=1", "mix", "=", "a==b",
    "dataset=imagefolder", "dataset.root=a b", "model.lr=1e-400", "logger=none,wandb", "++x.y.z=[1,2",
    "seed=choice(1,2)", "output_dir='a,b'",
    "controls=true", "folds=3", "parallel=2", "hydra.run.dir=/x", "experiment=../x", "mix.fill={a:1}",
)  # fmt: skip


@cache
def _shared_composer() -> tuple[Any, Composer]:
    with initialized_hydra(None) as composer:
        return GlobalHydra.instance().hydra, composer


@contextlib.contextmanager
def _checking_shipped_files_once(shares_compositions: bool) -> Iterator[None]:
    """Leave out what is the same in each case and takes most of its time.

    Args:
        shares_compositions: whether what a case composed is used by the next ones: their files are the same.
    """

    @contextlib.contextmanager
    def initialized(*_: Any) -> Iterator[Composer]:
        GlobalHydra.instance().hydra, composer = _shared_composer()
        if len(composer._composed) > 300:  # of a megabyte each
            _shared_composer.cache_clear()
        yield composer

    register()
    check_files = hydra_guard.check_files
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hydra_guard, "check_files", lambda folder: folder in (CONF, EXPERIMENTS) or check_files(folder))
        if shares_compositions:
            patch.setattr(sweep, "initialized_hydra", initialized)
        yield


def command_line(chance: random.Random, composes: bool = False) -> None:
    """A command line is understood, or refused in sentences."""
    words = [
        chance.choice(_WORDS) if chance.random() < 0.7 else f"{chance.choice(_WORDS)}{text(chance)}"
        for _ in range(chance.randrange(1, 6))
    ]
    words = [word.replace("\0", "") for word in words]  # which no shell hands over
    try:
        parsed = normalize_argv(words)
        if composes and not parsed.has_other_config and not parsed.wants_help:
            with _checking_shipped_files_once(shares_compositions=not parsed.config_dir):
                sweep.check_before_hydra(parsed)
                sweep.requested_jobs(parsed)
    except UserError:
        pass


def command_line_composed(chance: random.Random) -> None:
    """A command line is composed and checked without starting work, or refused in sentences."""
    command_line(chance, composes=True)


_GROUPS = {
    "mix": b"real: 0.5\nsynthetic: 0.5\nfill: null\naugment:\n  rotation: 10\n",
    "model": b"_target_: synthaug.models.classifier.Classifier\nbackbone: resnet18\nlr: 1e-3\nmixup: 0.2\n",
    "dataset": b"defaults: [imagefolder]\nroot: photos\nsplit: {val: 0.2, test: 0.2}\nclasses: [a, b]\n",
    "screening": b"defaults: [default]\nduplicates: 4\n",
    "shift": b"noise:\n  _target_: synthaug.arms.shifts.Corruption\n  severities: {1: {}}\n  transform: torch.x\n",
    "experiments": b"# @package _global_\ndefaults: [/mix: 64]\nseed: 3\ntrainer: {max_epochs: 2}\nmodel: {lr: 0.1}\n",
}


def yaml_files(chance: random.Random) -> None:
    """A study whose YAML files somebody damaged is composed, or refused in sentences."""
    group = chance.choice(list(_GROUPS))
    folder = _folder() / f"conf{os.getpid()}"
    file = folder / group / "damaged.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    content = _GROUPS[group]
    if chance.random() < 0.5:  # a value
        lines = content.decode().splitlines()
        number = chance.randrange(len(lines))
        lines[number] = f"{lines[number].partition(':')[0]}: {chance.choice((_value(chance), text(chance)))}"
        content = "\n".join(lines).encode(errors="replace")
    else:
        content = mutated(chance, content)
    file.write_bytes(content)
    parsed = normalize_argv(["--config-dir", str(folder), f"{'+' if group == 'experiments' else ''}{group}=damaged"])
    try:
        with _checking_shipped_files_once(shares_compositions=False):
            sweep.check_before_hydra(parsed)
            sweep.requested_jobs(parsed)
    except UserError:
        pass
    finally:
        file.unlink()


_YAML = (
    b"defaults: [a, {b: c}]\nx: &x {y: [1, 2.5, 'q', no], z: ~}\nw: *x\nlist:\n  - a\n  - <<: *x\n    k: |\n     t\n"
)


def yaml_text(chance: random.Random) -> None:
    """Whatever YAML text passes is small once it is read."""
    content = mutated(chance, _YAML * chance.choice((1, 1, 3))).decode(errors="replace")
    try:
        check_text(content, "a.yaml")
        read = yaml.safe_load(content)
    except (UserError, yaml.YAMLError, ValueError, TypeError, RecursionError):  # the last of dates and keys
        return
    assert len(repr(read)) < 1_000_000


# Images.


@cache
def _files() -> list[bytes]:
    """Small images of every format, in several ways."""
    pixels = np.random.default_rng(0).integers(0, 255, (12, 17, 3), dtype=np.uint8)
    colour = Image.fromarray(np.repeat(np.repeat(pixels, 2, 0), 2, 1))
    images = (colour, colour.convert("L"), colour.convert("P"), colour.convert("RGBA"), colour.convert("CMYK"))
    ways: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{}, {"progressive": True}], "PNG": [{}, {"optimize": True}], "WEBP": [{}, {"lossless": True}],
        "GIF": [{}, {"save_all": True, "append_images": [colour.convert("P")]}], "BMP": [{}],
        "TIFF": [{}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "tiff_adobe_deflate"}],
        "AVIF": [{}],
    }  # fmt: skip
    files = []
    for name in FORMATS:
        for way in ways[name]:
            for image in images:
                stream = io.BytesIO()
                try:
                    image.save(stream, name, **way)
                except (OSError, ValueError, KeyError):  # a mode that the format does not have
                    continue
                files.append(stream.getvalue())
    return files


def image(chance: random.Random) -> None:
    """A damaged image is decoded to pixels of its size, or refused, in little time."""
    content = chance.choice(_files())
    if chance.random() < 0.05:
        content = content[: chance.randrange(16)] + chance.randbytes(chance.randrange(300))
    elif chance.random() < 0.5:  # headers, which say how large it is
        content = mutated(chance, content[:64]) + content[64:]
    else:
        content = mutated(chance, content)
    side = chance.choice((None, 8, 64))
    started = time.thread_time()
    pixels = None
    try:
        pixels = decode(content, side)
    except MemoryError:
        raise
    except Exception:  # Pillow's plugins raise what they like, see `decode_sizes`
        pass
    if pixels is not None:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
        assert min(pixels.shape) > 0
        assert side is None or min(pixels.shape[:2]) <= side
    assert time.thread_time() - started < SECONDS, f"{len(content)} bytes take too long"


FAMILIES: dict[str, tuple[Case, float]] = {  # each with its share of the cases
    "mix": (mix, 0.1),
    "rows": (rows, 0.3),
    "row_log": (row_log, 0.05),
    "record": (record, 0.2),
    "configuration": (configuration, 0.0094),
    "command_line": (command_line, 0.1),
    "command_line_composed": (command_line_composed, 0.0003),
    "yaml_files": (yaml_files, 0.0003),
    "yaml_text": (yaml_text, 0.05),
    "image": (image, 0.19),
}
