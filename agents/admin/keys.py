"""API keys: made here, shown once, revoked, never deleted."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agents.admin.access import MembersOnlyAdmin, changeable
from agents.keys import DEFAULT_SCOPES, create_key
from agents.models import ApiKey


class NewKeyForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    scopes = forms.MultipleChoiceField(
        choices=ApiKey.Scope.choices, widget=forms.CheckboxSelectMultiple, initial=DEFAULT_SCOPES, label="May"
    )

    class Meta:
        model = ApiKey
        fields = ["workspace", "agent", "name", "scopes"]


@admin.register(ApiKey)
class ApiKeyAdmin(MembersOnlyAdmin):
    list_display = ("prefix", "name", "workspace", "agent", "may", "last_used_at", "archived_at")
    list_select_related = ("workspace", "agent")
    search_fields = ("prefix", "name")
    autocomplete_fields = ("agent",)
    actions = ("revoke",)
    ordering = ("-pk",)
    show_full_result_count = False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        # Saving leads to the page that shows the key, so the ways around it are not offered.
        only_save = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().changeform_view(request, object_id, form_url, (extra_context or {}) | only_save)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewKeyForm
        return super().get_form(request, obj, change=change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("workspace", "agent", "name", "scopes")
        return (
            "name",
            "prefix",
            "workspace",
            "agent",
            "may",
            "created_by",
            "created_at",
            "last_used_at",
            "archived_at",
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        # Who holds a key relies on what it opens; another reach is another key.
        return (
            ()
            if obj is None
            else ("prefix", "workspace", "agent", "may", "created_by", "created_at", "last_used_at", "archived_at")
        )

    @admin.display(description="may")
    def may(self, key: ApiKey) -> str:
        labels = dict(ApiKey.Scope.choices)
        return ", ".join(str(labels.get(scope, scope)) for scope in key.scopes)

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            obj.save(update_fields=["name"])
            return
        made, key = create_key(
            obj.workspace,
            agent=obj.agent,
            name=obj.name,
            scopes=form.cleaned_data["scopes"],
            created_by=request.user,  # type: ignore[arg-type]  # signed in, or the admin had not let them here
        )
        obj.pk, obj.prefix = made.pk, made.prefix
        request._made_key = key  # type: ignore[attr-defined]  # for this answer alone: it is stored nowhere

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None) -> HttpResponse:
        """The key itself, on the page that answers the form: a redirect would have to keep it somewhere on the way."""
        context = {
            **self.admin_site.each_context(request),
            "title": "The new API key",
            "opts": self.opts,
            "key": request._made_key,  # type: ignore[attr-defined]  # by `save_model`, just now
            "row": obj,
        }
        response = TemplateResponse(request, "admin/agents/apikey/made.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, keys: Any) -> None:
        count = changeable(request, keys).archive()
        self.message_user(request, f"Revoked: {count}. What reports with them is refused from its next request on.")
