"""The notebook runs from top to bottom on a study that it has never seen."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.factories.studies import MadeUp, make_study

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "compare.ipynb"


def test_executes_on_a_made_up_study(tmp_path: Path) -> None:
    make_study(tmp_path / "study", MadeUp())
    command = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--output-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(NOTEBOOK)],
        env=os.environ | {"SYNTHAUG_STUDY": str(tmp_path / "study")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((tmp_path / NOTEBOOK.name).read_text(encoding="utf-8"))["cells"]
    pictures = [output for cell in cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})]
    assert len(pictures) == 3


def test_committed_with_its_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    assert not any(output["output_type"] == "error" for cell in cells for output in cell.get("outputs", []))
