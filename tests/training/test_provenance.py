"""Provenance: the commit of a checkout."""

import re
import subprocess
from pathlib import Path

from synthaug.training import provenance


def test_the_commit_of_a_checkout_and_whether_files_are_changed(tmp_path: Path) -> None:
    assert provenance.commit(tmp_path) == {}
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message=first"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    first = provenance.commit(tmp_path)["commit"]
    assert re.fullmatch("[0-9a-f]{40}", first)
    (tmp_path / "file").write_text("1", encoding="utf-8")
    subprocess.run([*git, "add", "file"], check=True)
    assert provenance.commit(tmp_path) == {"commit": f"{first}-dirty"}
    (tmp_path / ".git" / "HEAD").unlink()
    assert provenance.commit(tmp_path) == {}
