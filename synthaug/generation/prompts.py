"""What a generator is asked for: one prompt per class, made from a template."""

import string
from collections.abc import Sequence

from synthaug.errors import UserError

PLACE = "class_name"


def prompts(template: str, classes: Sequence[str]) -> dict[str, str]:
    """Class name → prompt; underscores in a class's folder name are read as spaces.

    Raises:
        UserError: the template has no place for the class, or one that nobody fills.
    """
    try:
        places = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise UserError(f"generator.prompt={template!r} is no template ({error}): write {{{PLACE}}} once.") from None
    if places != {PLACE}:
        raise UserError(
            f"generator.prompt={template!r} has the places {sorted(places) or 'none'}: it needs {{{PLACE}}}, and no "
            f"other, as in 'a photo of a {{{PLACE}}}'."
        )
    return {name: template.format(class_name=name.replace("_", " ")) for name in classes}
