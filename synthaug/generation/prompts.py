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
        if places == {PLACE}:
            return {name: template.format(class_name=name.replace("_", " ")) for name in classes}
    except (ValueError, LookupError) as error:
        raise UserError(
            f"generator.prompt={template!r} is no template ({error}): write {{{PLACE}}} where the class goes, "
            "and a brace that is meant as such twice."
        ) from None
    has = ", ".join(f"{{{place}}}" for place in sorted(places)) or "no place for the class"
    raise UserError(
        f"generator.prompt={template!r} has {has}: it needs {{{PLACE}}} and no other place, as in "
        f"'a photo of a {{{PLACE}}}'."
    )
