"""How an explained run is said: from its accuracy down to the seed of each synthetic image."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from synthaug.analysis.explain.run_explanation import (
    Answer,
    ClassCount,
    Explanation,
    Story,
    counts_by_class,
    pretrain_epochs,
)
from synthaug.analysis.text.document import Block, Heading, Points, Rows, Sentences
from synthaug.analysis.text.format import NONE, percent
from synthaug.analysis.training_images import CHANGED, GONE, SAME, TrainingImage
from synthaug.data.samples import REAL, SYNTHETIC
from synthaug.messages import plural
from synthaug.runs import layout

SHOWN = 10  # confusions, mistakes, prompts and lost files that are spelt out
SHOWN_CLASSES = 50
SHOWN_PER_CLASS = 3  # synthetic images
# What tells one way of making an image from another, for people; the rest is in the CSV.
_MADE_BY = ("model", "revision", "weights", "scheduler", "steps", "guidance", "dtype")


def document(explanation: Explanation, every: bool = False) -> list[Block]:
    """The whole explanation, to be printed or made into Markdown; `every` synthetic image or a few per class."""
    key = explanation.run.key
    result = explanation.result
    where = f"{key.dataset} · {key.generator} · {key.model}, in {explanation.run.folder}."
    return [
        Heading(f"{key.arm}, seed {key.seed}, of the study {explanation.study.name}", 1),
        Sentences(f"{where} Trained from {result.get('started', NONE)} to {result.get('finished', NONE)}."),
        *_problems(explanation),
        *_accuracy(explanation),
        *_mistakes(explanation),
        Heading("The checkpoint that was tested"),
        Sentences(_checkpoint(explanation)),
        *_mix(explanation),
        *_files(explanation),
        *_synthetic(explanation, every),
        *_settings(result),
        *_machine(result),
    ]


def story(found: Story) -> list[Block]:
    """What is known of one image."""
    if found.training is not None:
        return _training_story(found, found.training)
    label = found.said[0][1].label if found.said else NONE
    right = sum(answer.right for _, answer in found.said)
    rows = [
        (
            key.arm,
            str(key.seed),
            f"{key.generator}, {key.model}",
            said.predicted,
            _p(said.probability),
            _p(said.of_label),
        )
        for key, said in found.said
    ]
    headers = ("arm", "seed", "generator, model", "answer", "probability of it", f"probability of {label}")
    return [
        Heading(f"Test image {found.path}", 1),
        Sentences(f"Its class is {label}. {right} of {plural(len(rows), 'run')} of the study got it right."),
        Rows(headers, rows, left=(0, 2, 3)),
    ]


# --- what the run answered ---------------------------------------------------------------------------


def _problems(explanation: Explanation) -> list[Block]:
    if not explanation.problems:
        return []
    return [Heading("What does not fit together"), Points(list(explanation.problems))]


def _accuracy(explanation: Explanation) -> list[Block]:
    counted = explanation.counted
    if counted is None:
        recorded = explanation.result["test"]
        said = f"accuracy {100 * recorded['accuracy']:.2f} %, macro F1 {100 * recorded['macro_f1']:.2f} %"
        return [Heading("Test accuracy"), Sentences(f"{layout.RESULT} says {said}; neither could be counted again.")]

    n, found = len(counted.answers), counted.accuracy
    worst = sorted(counted.classes, key=lambda item: 1 if item.f1 is None else item.f1)[:SHOWN_CLASSES]
    shown = [item for item in counted.classes if item in worst]
    return [
        Heading(f"Test accuracy: {percent(found.value, n)} %"),
        Sentences(
            f"{counted.right:,} of {n:,} test images are right, counted in "
            f"{layout.PREDICTIONS}; 95 % interval {percent(found.low, n)} to {percent(found.high, n)} % (Wilson, over "
            f"the draw of test images). Macro F1, the mean of the classes' F1, is {100 * counted.macro_f1:.2f} %."
        ),
        *([Sentences(f"The {SHOWN_CLASSES} classes of least F1:")] if len(shown) < len(counted.classes) else []),
        Rows(("class", "test images", "right", "accuracy %", "named so", "F1 %"), [_class(item) for item in shown]),
    ]


def _class(item: ClassCount) -> tuple[str, ...]:
    accuracy = percent(item.right / item.n_test, item.n_test) if item.n_test else NONE
    f1 = NONE if item.f1 is None else f"{100 * item.f1:.1f}"
    return item.name, f"{item.n_test:,}", f"{item.right:,}", accuracy, f"{item.named:,}", f1


def _mistakes(explanation: Explanation) -> list[Block]:
    counted = explanation.counted
    if counted is None:
        return []
    wrong = [answer for answer in counted.answers if not answer.right]
    if not wrong:
        return [Heading("Mistakes"), Sentences("There are none.")]
    tested = {item.name: item.n_test for item in counted.classes}
    confusions = counted.confusions
    pairs = [
        (label, predicted, f"{images:,}", f"{100 * images / tested[label]:.1f}")
        for label, predicted, images in confusions[:SHOWN]
    ]
    surest = sorted(wrong, key=lambda answer: (-answer.probability, answer.path))[:SHOWN]
    return [
        Heading(f"Mistakes: {len(wrong):,}"),
        Sentences(f"Which classes are taken for which{_first(len(pairs), len(confusions), 'pair')}:"),
        Rows(("class", "taken for", "images", "% of the class"), pairs, left=(0, 1)),
        Sentences(f"The mistakes that the run was surest of{_first(len(surest), len(wrong), 'mistake')}:"),
        Rows(("image", "class", "answer", "probability"), [_mistake(answer) for answer in surest], left=(0, 1, 2)),
    ]


def _mistake(answer: Answer) -> tuple[str, ...]:
    return answer.path, answer.label, answer.predicted, _p(answer.probability)


def _checkpoint(explanation: Explanation) -> str:
    result = explanation.result
    val, training = result["val"], result["training"]
    first = pretrain_epochs(result)
    said = (
        f"Epoch {val['epoch'] + 1} of {training['epochs']}, the first of the best on {result['counts']['val']:,} real "
        f"validation images: {100 * val['accuracy']:.2f} %. The test images were used once, with this checkpoint."
    )
    if first:
        said += f" The first {plural(first, 'epoch')} trained on synthetic images alone and could not be chosen."
    curve = (explanation.history or {}).get("val/accuracy")
    if curve:
        said += f" Validation accuracy by epoch, in %: {', '.join(f'{100 * value:.1f}' for value in curve)}."
    return said


# --- what it was trained on --------------------------------------------------------------------------


def _mix(explanation: Explanation) -> list[Block]:
    run, images = explanation.run, explanation.images
    share = f"real {run.real:g}, synthetic {run.synthetic:g}, as multiples of the real training images of each class"
    if images is None:
        return [Heading("The mix"), Sentences(f"{share[:1].upper()}{share[1:]}.")]
    counts = counts_by_class([image.row for image in images])
    rows = [(name, f"{found[REAL]:,}", f"{found[SYNTHETIC]:,}") for name, found in counts.items()]
    total = Counter(image.row.origin for image in images)
    total_row = ("all", f"{total[REAL]:,}", f"{total[SYNTHETIC]:,}")
    return [
        Heading(f"The mix: {total[REAL]:,} real + {total[SYNTHETIC]:,} synthetic images"),
        Sentences(f"{share[:1].upper()}{share[1:]}; counted in {layout.MIX}."),
        Rows(("class", "real", "synthetic"), [*rows, total_row]),
    ]


def _files(explanation: Explanation) -> list[Block]:
    images = explanation.images
    if not images:
        return []
    found = Counter(image.state for image in images)
    if found[SAME] == len(images):
        return [Sentences(f"All {len(images):,} files are there and have the bytes that were trained on.")]
    said = [
        f"{count:,} of {len(images):,} files {'is' if count == 1 else 'are'} {what}"
        for state, what in ((GONE, "gone"), (CHANGED, "there with other bytes than were trained on"))
        if (count := found[state])
    ]
    lost = [f"{image.state}: {image.row.path}" for image in images if image.state != SAME]
    shown = [*lost[:SHOWN], *([f"… and {len(lost) - SHOWN:,} more"] if len(lost) > SHOWN else [])]
    return [
        Sentences(f"{'; '.join(said)}. The numbers stand, but the run cannot be repeated as it was."),
        Points(shown),
    ]


def _synthetic(explanation: Explanation, every: bool) -> list[Block]:
    images = explanation.synthetic
    if not images:
        return []
    known = [image for image in images if image.made is not None]
    blocks: list[Block] = [Heading("How the synthetic images were made")]
    if len(known) < len(images):
        blocks.append(Sentences(_unknown(explanation, len(images) - len(known))))
    if known:
        blocks += _ways(known)
    shown = images if every else _few_per_class(images)
    if len(shown) < len(images):
        blocks.append(
            Sentences(
                f"The first {SHOWN_PER_CLASS} of each class; all {len(images):,} are printed with --all, and written "
                "with everything that is known of them with --csv <file>:"
            )
        )
    headers = ("image", "class", "prompt", "seed", "file")
    return [*blocks, Rows(headers, [_image(image) for image in shown], left=(0, 1, 2, 4))]


def _unknown(explanation: Explanation, count: int) -> str:
    generator = (explanation.result.get("settings") or {}).get("generator") or {}
    root = generator.get("root")
    if root and "model" not in generator:
        return (
            f"{plural(count, 'image')} come from the folder generator.root={root}, made elsewhere: which model, "
            "prompts and seeds made them is not known here, only their bytes."
        )
    return (
        f"How {plural(count, 'image was', 'images were')} made is not known: no manifest.csv beside them lists them "
        "with the bytes that were trained on."
    )


def _ways(known: Sequence[TrainingImage]) -> list[Block]:
    """The models with their settings, and the prompts, each with the images that it made."""
    ways = Counter(tuple(getattr(image.made, name) for name in _MADE_BY) for image in known)
    ranked = ways.most_common(SHOWN)
    used = [column for column in range(len(_MADE_BY)) if any(way[column] for way, _ in ranked)]
    headers = [*(_MADE_BY[column] for column in used), "images"]
    rows = [[*(_short(way[column]) for column in used), f"{count:,}"] for way, count in ranked]
    prompts = Counter((image.made.prompt, image.made.negative_prompt) for image in known if image.made)
    asked = [
        f"{text!r}{f', not {negative!r}' if negative else ''}: {count:,}"
        for (text, negative), count in prompts.most_common(SHOWN)
    ]
    first = _first(len(asked), len(prompts), "prompt")
    seeds = len({image.made.seed for image in known if image.made})
    return [
        Rows(headers, rows, left=tuple(range(len(used)))),
        Sentences(f"{plural(seeds, 'seed')} and {plural(len(prompts), 'prompt')}{first} with the images of each:"),
        Points(asked),
    ]


def _few_per_class(images: Sequence[TrainingImage]) -> list[TrainingImage]:
    taken: Counter[str] = Counter()
    few = []
    for image in images:
        taken[image.row.label] += 1
        if taken[image.row.label] <= SHOWN_PER_CLASS:
            few.append(image)
    return few


def _image(image: TrainingImage) -> tuple[str, ...]:
    name = "/".join(PurePath(image.row.path).parts[-2:])
    made = (image.made.prompt, str(image.made.seed)) if image.made else (NONE, NONE)
    return name, image.row.label, *made, image.state


def _training_story(found: Story, image: TrainingImage) -> list[Block]:
    facts = [("class", image.row.label), ("origin", image.row.origin), ("sha256", image.row.sha256)]
    facts += [("file", f"{image.file}: {image.state}")]
    if image.made is not None:
        row = image.made
        facts += [(name, str(getattr(row, name))) for name in ("prompt", "negative_prompt", "seed")]
        facts += [(name, getattr(row, name)) for name in (*_MADE_BY, "diffusers", "transformers", "torch", "python")]
    elif image.row.origin == SYNTHETIC:
        facts += [("made by", "not known: no manifest.csv lists it with these bytes")]
    seeds: dict[str, list[int]] = {}
    for key in found.users:
        seeds.setdefault(key.arm, []).append(key.seed)
    users = [(arm, " ".join(map(str, sorted(set(own))))) for arm, own in seeds.items()]
    return [
        Heading(f"Training image {found.path}", 1),
        Rows(("", ""), [fact for fact in facts if fact[1]], left=(0, 1)),
        Sentences("Trained on by:"),
        Rows(("arm", "seeds"), users, left=(0, 1)),
    ]


# --- how -----------------------------------------------------------------------------------------------


def _settings(result: Mapping[str, Any]) -> list[Block]:
    settings = result.get("settings")
    if not settings:
        return [Heading("Settings"), Sentences(f"{layout.RESULT} records none.")]
    plain = {name: value for name, value in settings.items() if not isinstance(value, Mapping)}
    groups = {name: value for name, value in settings.items() if isinstance(value, Mapping) and value}
    lines = [_line(plain), *(f"{name}: {_line(_flat(value))}" for name, value in groups.items())]
    return [Heading("Settings"), Points(lines)]


def _machine(result: Mapping[str, Any]) -> list[Block]:
    training = result["training"]
    batch, seconds = training["batch_size"], training["seconds"]
    steps = f"{training['steps']:,} optimizer steps of {batch} images in {seconds:.0f} seconds."
    return [
        Heading("Machine and versions"),
        Points([steps, _line(result.get("machine", {})), _line(result.get("versions", {}))]),
    ]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return flat


def _line(values: Mapping[str, Any]) -> str:
    """What is set: an empty value says nothing."""
    return ", ".join(f"{name}={value}" for name, value in values.items() if value not in (None, "", [], {}))


# --- words -------------------------------------------------------------------------------------------


def _first(shown: int, total: int, what: str) -> str:
    return f" (the first {shown} of {total:,} {what}s)" if shown < total else ""


def _p(probability: float) -> str:
    return f"{probability:.3f}"


def _short(value: str) -> str:
    """A hash is told from others by its beginning."""
    return value[:12] if len(value) >= 40 and all(letter in "0123456789abcdef" for letter in value) else value
