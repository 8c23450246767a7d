"""Export a synthetic set as a dataset that others can load.

python -m synthaug.export outputs/synthetic/photos/sd15-a1b2c3 photos-synthetic
"""

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from synthaug.errors import raise_all
from synthaug.exit_codes import exit_code
from synthaug.files import resolved, why_not_writable
from synthaug.messages import plural
from synthaug.terminal import printable, tolerant_output

_DESCRIPTION = """Write the images of a synthetic set that were kept, as a folder that
datasets.load_dataset("imagefolder", data_dir=<target>) reads: <class>/<image>,
metadata.jsonl (class, prompt, seed, model, revision … of each image), README.md
(a dataset card for the Hugging Face hub) and croissant.json. The target is
written whole or not at all."""
_EPILOG = """examples:
  python -m synthaug.export outputs/synthetic/photos/sd15-a1b2c3 photos-synthetic
  python -m synthaug.export outputs/synthetic/photos/sd15-a1b2c3 photos-synthetic \\
      --license cc-by-4.0 --name "Synthetic photographs"

Exit codes: 0 everything is written; 1 a file cannot be written; 2 a folder that
is not a synthetic set, or is not as its manifest says;
128+n stopped by signal n (130 Ctrl-C, 143 SIGTERM)."""


@tolerant_output()
def main(arguments: Sequence[str] | None = None) -> int:
    """Check the arguments, export; return the exit code."""
    parser = ArgumentParser(
        prog="python -m synthaug.export",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("set", type=Path, help="folder of a synthetic set, with its manifest.csv")
    parser.add_argument("target", type=Path, help="folder to be written; it must not exist")
    parser.add_argument("--screening", metavar="NAME", help="folder of verdicts in the set; none: all of its images")
    parser.add_argument("--license", metavar="ID", help="of the dataset, once you have read that of the model")
    parser.add_argument("--name", help="of the dataset, by default the target's")
    parsed = parser.parse_args(arguments)
    return exit_code(lambda: _export(parsed.set, parsed.target, parsed.screening, parsed.license, parsed.name))


def _export(folder: Path, target: Path, screening: str | None, licence: str | None, name: str | None) -> int:
    # Imported here: --help and a wrong folder need not wait for them.
    from synthaug.export.exported_set import read_set, write_dataset

    folder, target = folder.expanduser(), target.expanduser()
    problems = []
    if target.exists() or target.is_symlink():
        problems.append(f"{target} exists already: name another target, or move it away.")
    elif resolved(target).is_relative_to(resolved(folder)):
        problems.append(f"{target} lies in the set itself: name a folder beside it.")
    elif reason := why_not_writable(target.parent):
        problems.append(f"{target} cannot be written: {reason}.")
    raise_all("Nothing was exported:", problems)
    exported = read_set(folder, screening)
    write_dataset(exported, target, name or resolved(target).name, licence)
    left_out = f" ({exported.left_out})" if exported.left_out else ""
    print(printable(f"{plural(len(exported.images), 'image')} exported to {target}{left_out}."))
    if licence is None:
        print(f"Read the licence of {', '.join(exported.models)} before you share it, then name one with --license.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
