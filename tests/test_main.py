"""The console script: its commands, its version, its tab completion in a real shell."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import synthaug
from synthaug import __main__ as console


def synthaug_script(folder: Path) -> Path:
    """Write the console script as pip installs it."""
    script = folder / "synthaug"
    script.write_text(f"#!{sys.executable}\nimport sys\nfrom synthaug.__main__ import main\nsys.exit(main())\n")
    script.chmod(0o755)
    return script


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "synthaug", *arguments], capture_output=True, text=True, check=False)


def test_version() -> None:
    completed = run("--version")
    assert (completed.returncode, completed.stdout) == (0, f"synthaug {synthaug.__version__}\n")


@pytest.mark.parametrize("command", [name for name in console.COMMANDS if name != "completion"])
def test_commands_have_their_own_help(command: str) -> None:
    completed = run(command, "--help")
    assert completed.returncode == 0
    assert completed.stdout


def test_unknown_command_names_the_choices() -> None:
    completed = run("trian")
    assert completed.returncode == 2
    assert all(name in completed.stderr for name in ("trian", *console.COMMANDS))


@pytest.mark.parametrize("words", [["check", "LOOP"], ["export", "LOOP", "new"], ["predict", "no/run", "LOOP"]])
def test_a_link_to_itself_is_no_folder(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    monkeypatch.setattr(sys, "argv", sys.argv)  # which the command replaces
    assert console.main([str(loop) if word == "LOOP" else word for word in words]) == 2
    assert str(loop) in capsys.readouterr().err


def test_exit_code_of_the_command_is_kept() -> None:
    assert run("report", "no/such/folder").returncode == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("synthaug tr", {"train"}),
        ("synthaug train model=vit", {"model=vit_b_16"}),
        ("synthaug train -m mix=8", {"mix=82"}),
        ("synthaug report po", {"power"}),
        ("synthaug predict outputs --sk", {"--skip-unreadable"}),
    ],
)
def test_completion(tmp_path: Path, line: str, completed: set[str]) -> None:
    synthaug_script(tmp_path)
    words = line.split(" ")
    script = f"""
        export PATH="{tmp_path}:$PATH"
        eval "$(synthaug completion)"
        COMP_LINE="{line}" COMP_POINT={len(line)} COMP_CWORD={len(words) - 1} COMP_WORDS=({line})
        _synthaug_completion
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) == completed
