"""Train one arm, or with -m one arm for each choice, and compare them.

    python -m synthaug.train -m mix=real,55,64,73,82

Configuration stops here: below `execution` are plain constructors with plain arguments.
"""

import sys
from pathlib import Path

from synthaug.config.command_help import CommandHelp
from synthaug.errors import OUTPUT_DIR, UserError, explain, is_environmental
from synthaug.execution import training_steps
from synthaug.execution.session import Session, is_first_process
from synthaug.signals import stoppable
from synthaug.terminal import printable, tolerant_output
from synthaug.tracking import run_ids

HELP = CommandHelp(
    "train",
    "Train one arm, or with -m one arm for each choice, and compare them on the same real test images. Synthetic "
    "images that an arm lacks are generated first. The same command again resumes; finished runs are never computed "
    "again.",
    [
        ("-m mix=real,55,64,73,82", "the default study: five arms on handwritten digits, 1.7 minutes"),
        ("-m mix=real,64 controls=true seed=0,1,2,3,4", "an arm and its control with five seeds"),
        ("-m mix=real,64 debug=true", "does everything work? 16 images an arm, two epochs, a study of its own"),
        ("mix.real=0.35 mix.synthetic=0.65", "one run: 35 % of the real images, 65 % synthetic ones"),
        ("-m +experiments=photographs dataset.root=photos", "photographs of yours, in one folder per class"),
    ],
    nested="model.lr=1e-4 or trainer.max_epochs=20",
    end="Exit codes: 0 all runs are finished; 1 one failed; 2 the command or the\n"
    "configuration is wrong, and nothing was started; 128+n stopped by signal n\n"
    "(130 Ctrl-C, 143 SIGTERM), the same command goes on.",
)


@tolerant_output()
def main() -> None:
    """Check everything, run what is not finished, compare.

    Exits 0 when every run is finished, 1 when one failed, 2 when the command or the configuration is wrong.
    """
    steps = training_steps
    session = Session(steps.execute, steps.check, steps.is_finished, HELP, steps.train_together, steps.launch)
    with stoppable(lambda: steps.resume_advice(list(session.jobs.values())), reports=is_first_process):
        _train(session)


def _train(session: Session) -> None:
    try:
        session.run()
        if not is_first_process():
            return
        studies = sorted({job.study for job in session.jobs.values()})
        if not session.is_sweep and not session.failed:
            from synthaug.execution import conclusion

            for job in session.jobs.values():
                print(printable("\n".join(conclusion.conclusion(job))))
        complete = [_compare(session, study) for study in studies] if session.is_sweep else []
        for study in studies:
            if hint := run_ids.upload_hint(study):
                print(printable(hint))
        sys.exit(0 if all(complete) and not session.failed else 1)
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:  # outside of a run: the plan, or the report
        if not is_environmental(error):
            raise
        print(explain(error, OUTPUT_DIR), file=sys.stderr)
        sys.exit(1)


def _compare(session: Session, study: Path) -> bool:
    """Show the comparison of a study, in W&B as well where its runs are; True if all of them are finished."""
    from synthaug.analysis.output import report_cache

    in_wandb = any(job.study == study and job.is_in_wandb for job in session.jobs.values())
    stored = report_cache.load(study) if not in_wandb or run_ids.is_published(study) else None
    if stored:
        report_cache.show(study, stored.text)
        return stored.complete
    from synthaug.analysis.pipeline import show_report

    report = show_report(study)
    if in_wandb:
        from synthaug.tracking import summary_run

        summary_run.publish(report, again=False)
    return report.comparison.complete


if __name__ == "__main__":
    main()
