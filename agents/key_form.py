"""Making a key as people do: a form, for the workspaces they own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms

from agents.keys import DEFAULT_SCOPES, create_key
from agents.models import Agent, ApiKey, Workspace

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class KeyForm(forms.Form):
    workspace = forms.ModelChoiceField(queryset=Workspace.objects.none(), empty_label=None)
    name = forms.CharField(
        max_length=200, required=False, help_text="Where it is used, such as production.", widget=forms.TextInput
    )
    agent = forms.CharField(
        max_length=200,
        required=False,
        label="For one agent only",
        help_text="Its name. The key then reports and reads this agent alone. Empty: any agent of the workspace.",
        widget=forms.TextInput,
    )
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple, initial=DEFAULT_SCOPES, label="It may"
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        workspace: Any = self.fields["workspace"]
        workspace.queryset = owned = Workspace.objects.owned_by(user).live().order_by("name")
        self.may_make = owned.exists()
        """Whether there is a workspace to make a key for."""
        self._user = user

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        workspace, slug = cleaned.get("workspace"), cleaned.get("agent")
        if workspace is not None and slug:
            cleaned["agent"] = Agent.objects.filter(workspace=workspace, slug=slug).live().first()
            if cleaned["agent"] is None:
                self.add_error(
                    "agent",
                    f"{workspace} has no agent of this name. Write one it has; or add it in the admin, or let it report"
                    " once with a key for the whole workspace.",
                )
        return cleaned

    def make(self) -> tuple[ApiKey, str]:
        """The row, and the key itself, which cannot be shown again."""
        wanted = self.cleaned_data
        return create_key(
            wanted["workspace"], agent=wanted["agent"] or None, name=wanted["name"], scopes=wanted["scopes"],
            created_by=self._user,
        )  # fmt: skip
