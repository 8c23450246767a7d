"""Run a command of the package: `synthaug train`, `generate`, `report` and others, also as `python -m synthaug train`.

The words behind the command are those of `python -m synthaug.train`, `synthaug.generate` and so on.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

import synthaug

COMMANDS = {
    "check": "check the images of a dataset before training, and record their hashes",
    "train": "train arms and compare them; finished runs are never computed again",
    "generate": "generate synthetic images and nothing else",
    "caption": "write captions of the classes, as prompts of a generator",
    "adapt": "adapt a generator to a few real images of an arm",
    "report": "compare the runs of a study, or answer a question about one",
    "export": "write a synthetic set as a dataset that others can load",
    "predict": "classify new photographs with a run's checkpoint",
    "completion": "print the tab completion for bash or zsh",
}

# Hydra completes the overrides of train and what it is made of, group choices included; `-sc query=bash` is its public
# interface.
COMPLETION = """\
# bash: eval "$(synthaug completion)"
# zsh: the same line after: autoload -U compinit bashcompinit && compinit && bashcompinit
_synthaug_completion() {
    local word="${COMP_WORDS[COMP_CWORD]}" command="${COMP_WORDS[1]}" choices=""
    if [ "$COMP_CWORD" -eq 1 ]; then
        choices="%s --help --version"
    else
        case "$command" in
            train|generate|caption|adapt)
                local line="synthaug-$command ${COMP_LINE#* * }"
                choices="$(COMP_LINE="$line" synthaug "$command" -sc query=bash 2>/dev/null)" ;;
            report) [ "$COMP_CWORD" -eq 2 ] && choices="audit compare drop explain plan power set status" ;;
            check) [[ "$word" == -* ]] && choices="--output --accept --help" ;;
            export) [[ "$word" == -* ]] && choices="--screening --license --name --help" ;;
            predict) [[ "$word" == -* ]] && choices="--output --batch-size --device --skip-unreadable --help" ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$choices" -- "$word"))
}
COMP_WORDBREAKS="${COMP_WORDBREAKS//=/}"
complete -o nospace -o default -F _synthaug_completion synthaug
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names and return its exit code."""
    if arguments is None:
        synthaug.end_quietly()
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(
        prog="synthaug",
        usage="synthaug [--help] [--version] <command> ...",
        description=synthaug.__doc__,
        epilog="synthaug <command> --help has the arguments of a command.",
    )
    parser.add_argument("--version", action="version", version=f"synthaug {synthaug.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="<command>", title="commands")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, add_help=False)
    command = parser.parse_args(words[:1]).command
    if command == "completion":
        print(COMPLETION % " ".join(COMMANDS), end="")
        return 0
    # Hydra and argparse read sys.argv; its first entry names the program in their messages.
    sys.argv = [f"synthaug {command}", *words[1:]]
    module = importlib.import_module(f"synthaug.{command}{'.__main__' if command in ('report', 'export') else ''}")
    return int(module.main() or 0)


if __name__ == "__main__":
    sys.exit(main())
