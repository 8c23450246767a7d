"""The wording of each renderer stands in one file below `tests/golden/`; all other tests assert data."""

import difflib
import os
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
UPDATE = "UPDATE_GOLDEN"


def assert_golden(name: str, text: str) -> None:
    """Compare a rendered text with `tests/golden/<name>`; `UPDATE_GOLDEN=1 pytest <test>` writes the file instead.

    Args:
        name: file name below `tests/golden/`, such as "console_table.txt".
        text: what the renderer returned, free of paths, times and versions of this machine.

    Raises:
        AssertionError: the text differs from the file (the message is a unified diff), or there is no such file.
    """
    path = GOLDEN / name
    if os.environ.get(UPDATE) == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        return
    advice = f"If the change is meant, run the test with {UPDATE}=1 and read the diff of {path}."
    if not path.is_file():
        raise AssertionError(f"{path} does not exist. {advice}")
    with path.open(encoding="utf-8", newline="") as stream:
        golden = stream.read()
    if text != golden:
        diff = difflib.unified_diff(golden.splitlines(), text.splitlines(), str(path), "rendered", n=1, lineterm="")
        raise AssertionError("\n".join([*diff, advice]))
