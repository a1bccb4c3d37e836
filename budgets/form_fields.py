"""What people type: cents and thresholds."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.contrib.admin.widgets import AdminIntegerFieldWidget
from django.core.exceptions import ValidationError

from budgets.lines import problem_with
from budgets.models.policies import MAX_LIMIT_CENTS


class CentsField(forms.IntegerField):
    """Whole cents."""

    widget = AdminIntegerFieldWidget

    def __init__(self, *, least: int = 0, too_little: str, **kwargs: Any) -> None:
        messages = {
            "invalid": "Write whole cents in digits alone, such as 5000 for $50.00.",
            "min_value": too_little,
            "max_value": f"At most {MAX_LIMIT_CENTS:,} cents, a billion dollars; check the number of digits.",
        } | kwargs.pop("error_messages", {})
        super().__init__(min_value=least, max_value=MAX_LIMIT_CENTS, error_messages=messages, **kwargs)


class ThresholdsField(forms.Field):
    """Percents as a line of text, `50, 80, 100`; a list of whole numbers to the program."""

    widget = forms.TextInput

    def to_python(self, value: Any) -> list[int]:
        if isinstance(value, list):
            return value
        written = [part for part in re.split(r"[\s,;%]+", str(value or "")) if part]
        try:
            percents: list[Any] = [int(part) for part in written]
        except ValueError:
            percents = list(written)
        if problem := problem_with(percents):
            raise ValidationError(problem)
        return percents

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(map(str, value)) if isinstance(value, list) else value
