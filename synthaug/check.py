"""Check the images of a dataset before anything is trained on them, and record their hashes.

python -m synthaug.check photos
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from synthaug.data import checksums
from synthaug.data.samples import SPLITS
from synthaug.errors import UserError
from synthaug.exit_codes import exit_code
from synthaug.files import resolved, why_not_writable
from synthaug.generation.manifest import SETTINGS, part_files
from synthaug.messages import plural, suggest
from synthaug.terminal import printable, tolerant_output

_DESCRIPTION = """Read every image of a dataset and report those that are unusable, twice there,
in more than one split or class (by bytes, by pixels, and re-encoded, resized,
cropped or flipped), named as another class, or odd. Writes findings.csv and
report.html, and into the dataset's folder the manifest SHA256SUMS: runs refuse
files that are no longer what it says, and `sha256sum -c SHA256SUMS` knows it."""
_EPILOG = """examples:
  python -m synthaug.check photos
  python -m synthaug.check photos dataset.train=training_set dataset.test=test_set
  python -m synthaug.check photos --accept    # the files as they are now are right

Exit codes: 0 nothing serious; 1 serious findings, or a file that cannot be
written; 2 a folder that is not a dataset;
128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM)."""


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Check a dataset, show and write what was found; return the exit code."""
    parser = ArgumentParser(
        prog="python -m synthaug.check",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("root", type=Path, help="<root>/<class>/, or <root>/train/<class>/ and other splits")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="dataset.train, .val, .test: a folder's name")
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help="by default outputs/checks/<name of root>")
    parser.add_argument("--accept", action="store_true", help="write the manifest anew where files have changed")
    parsed = parser.parse_args(arguments)
    return exit_code(lambda: _check(parsed.root, _split_folders(parsed.overrides), parsed.output, parsed.accept))


def _split_folders(overrides: Sequence[str]) -> dict[str, str]:
    """Return split → name of its folder, as in a dataset's YAML.

    Raises:
        UserError: another key.
    """
    folders = {split: split for split in SPLITS}
    for override in overrides:
        key, _, folder = override.partition("=")
        split = key.removeprefix("dataset.")
        if split not in folders or not folder:
            keys = [f"dataset.{name}=" for name in SPLITS]
            hint = suggest(f"dataset.{split}=", keys) or f"the keys are {', '.join(keys)}"
            raise UserError(f"{override}: not the folder of a split; {hint}")
        folders[split] = folder
    return folders


def _check(root: Path, split_folders: dict[str, str], output: Path | None, accept: bool) -> int:
    # Imported here: --help and a wrong key need not wait for them.
    from synthaug.analysis.dataset.dataset_check import check_dataset
    from synthaug.analysis.output import dataset_report

    root = root.expanduser()
    if (root / SETTINGS).is_file() and part_files(root):
        raise UserError(
            f"{root} is a synthetic set. `python -m synthaug.generate verify=20`, with the keys that made it, compares "
            f"images and manifest; `python -m synthaug.report set {root}` shows what they are like."
        )
    folder = output or Path("outputs/checks") / (resolved(root).name or "root")
    if reason := why_not_writable(folder):  # rather than fail when all images are read
        message = f"The check cannot be written: {reason}; give another folder with --output."
        print(printable(message), file=sys.stderr)
        return 1
    check = check_dataset(root, split_folders, accept)
    dataset_report.print_check(check)
    dataset_report.write(folder, check)
    manifest = printable(str(root / checksums.MANIFEST))
    print(f"See {printable(str(folder / dataset_report.PAGE))} and {dataset_report.TABLE} beside it.")
    if check.manifest_differs and not accept:
        print(f"{manifest} is left as it was.")
    elif check.manifest_differs or not check.recorded or check.added:
        _write_manifest(check.root, check.hashes)
    else:
        print(f"All files are as {manifest} says.")
    return 1 if check.is_serious(accept) else 0


def _write_manifest(root: Path, hashes: dict[str, str]) -> None:
    manifest = printable(str(root / checksums.MANIFEST))
    try:
        checksums.write(root, hashes)
    except OSError as error:
        reason = f"{manifest} cannot be written ({error.strerror})"
        print(f"{reason}, so runs will not notice changed files.", file=sys.stderr)
        return
    print(f"{manifest} has the hashes of {plural(len(hashes), 'file')}: runs refuse changed ones.")


if __name__ == "__main__":
    sys.exit(main())
