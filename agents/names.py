"""What may stand in a name that people write."""

from __future__ import annotations

from django.core.exceptions import ValidationError

from langchain_plugin.wire import clean_name, is_showable


def validate_name(name: str) -> None:
    """ValidationError on what the wire takes in no name: line breaks and other control characters, marks that turn the
    rest of a line round, nothing that can be seen. Names stand in logs and terminals of agents, and in mails.
    """
    if not is_showable(name):
        raise ValidationError(
            "A name is one line of characters that can be seen: take out the line break, the control character, or the"
            " mark that turns the direction of what follows.",
            code="unshowable",
        )
    if name and not clean_name(name, len(name)):
        raise ValidationError("A name needs a character that can be seen.", code="invisible")
