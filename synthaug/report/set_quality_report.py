"""`report set`: what a synthetic set, or any pool of images, is like beside real training images."""

import sys
from collections.abc import Sequence
from pathlib import Path

from synthaug.analysis.text.document import show
from synthaug.data import samples as listing
from synthaug.data.hash_cache import HASHES, HashCache
from synthaug.data.samples import SPLITS, RealImages
from synthaug.errors import UserError
from synthaug.features.feature_backbone import PIXELS
from synthaug.files import why_not_writable
from synthaug.generation.manifest import part_files
from synthaug.report.arguments import report_parser
from synthaug.terminal import printable


def main(arguments: Sequence[str]) -> int:
    """Measure the set, write its page and return the exit code."""
    parser = report_parser(
        "set",
        "Show what a synthetic set, or a folder of images by class, is like beside real training images, as set.html\n"
        "with contact sheets, and quality.json. Test images are not looked at.",
        "0 the page is written; 1 it cannot be; 2 a wrong folder, or a backbone that cannot be had.",
        [
            "outputs/synthetic/digits/tiny_digits-18e433",
            "pool --real photos --backbone timm/vit_small_patch14_dinov2.lvd142m -o outputs/pool",
        ],
    )
    parser.add_argument("set", type=Path, help="folder of the set: with a manifest.csv, or <class>/<image>")
    parser.add_argument(
        "--real", type=Path, metavar="FOLDER", help="<dataset>/train/<class>/ (and val), or <folder>/<class>/"
    )
    parser.add_argument(
        "--backbone",
        default="auto",
        help=f"what embeds images: {PIXELS}, resnet18, timm/<name>, <name>@<weights file>, run:<folder of a run>",
    )
    parser.add_argument("--image-size", type=int, metavar="N", help="side of the backbone's input in pixels")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="by default the folder of a set itself")
    parser.add_argument("--features", type=Path, metavar="FOLDER", help="where embeddings are kept (outputs/features)")
    parsed = parser.parse_args(arguments)
    from synthaug.analysis.output import set_page
    from synthaug.analysis.synthetic.set_measurement import measure_set
    from synthaug.analysis.synthetic.set_record import read_set
    from synthaug.analysis.text import set_text
    from synthaug.analysis.text.set_text import Shortcuts
    from synthaug.analysis.validity.shortcuts import image_checks

    is_pool = not part_files(parsed.set)
    folder = parsed.output or (Path("outputs/sets") / parsed.set.resolve().name if is_pool else parsed.set)
    if reason := why_not_writable(folder):
        print(printable(f"The page cannot be written: {reason}; give another folder with --output."), file=sys.stderr)
        return 1
    outputs, dataset = _place(parsed.set)
    features = parsed.features or outputs / "features"
    root = parsed.real or dataset
    real = _read_real(root, features) if root else None
    record = read_set(parsed.set, folder, real.classes if real else None)
    quality = shortcuts = None
    if real is not None:
        quality = measure_set(record.samples, real.train, real.val, features, parsed.backbone, parsed.image_size)
        shortcuts = Shortcuts(image_checks(real.train, record.samples))
    show(set_text.document(record, quality), parsed.markdown)
    page = set_page.write(record, quality, real.train if real else [], shortcuts)
    print(printable(f"See {page}"))
    return 0


def _place(folder: Path) -> tuple[Path, Path | None]:
    """Return the folder of all outputs that a set lies in, and the dataset there that it was made for, if any."""
    names = folder.resolve().parts
    if len(names) > 3 and names[-3] == "synthetic":
        outputs = folder.resolve().parents[2]
        dataset = outputs / "datasets" / names[-2]
        return outputs, dataset if dataset.is_dir() else None
    return Path("outputs"), None


def _read_real(root: Path, cache: Path) -> RealImages:
    """List the real training and validation images of a dataset.

    Raises:
        UserError: no dataset, or one without training images.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with HashCache(cache / HASHES) as hashes:
        real = listing.scan(root.expanduser(), {name: name for name in SPLITS}, can_split=True, sha256=hashes.sha256)
    if not real.train:
        raise UserError(
            f"--real {root}: it has no training images; give <dataset>/train/<class>/ or <folder>/<class>/."
        )
    return real
