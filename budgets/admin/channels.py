"""Where people are told: made, tried and removed by owners, whose channels those of their workspaces are.

An address is written and never shown again: it is a secret. The site's own channels, and any desktop, are the
superusers' alone.
"""

from __future__ import annotations

from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from agents.admin.access import MembersOnlyAdmin, is_superuser, may_change, minute
from budgets.admin.history import NEWEST_SHOWN, ReadOnlyInline
from budgets.models import Notification, NotificationChannel
from budgets.notifications.trials import TestRefusedError, last_test, send_test

Kind = NotificationChannel.Kind

AS_APPRISE: Final = (
    "As apprise writes it, such as mailtos://user:password@example.com?to=owner@example.com. Kept secret: only its"
    " service is shown afterwards. Empty for the desktop."
)


class ChannelForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    url = forms.CharField(
        label="Address",
        required=False,
        max_length=NotificationChannel._meta.get_field("url").max_length,
        # Not as a password: a browser would offer to fill in those that it keeps.
        widget=forms.TextInput({"size": 80, "autocomplete": "off"}),
    )

    class Meta:
        model = NotificationChannel
        fields = ["workspace", "kind", "name", "url", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kept = self.instance.url
        self.initial["url"] = ""
        if "url" in self.fields:
            kept = f"Now {self.instance.masked_url}; leave it empty to keep that. " if self._kept else ""
            self.fields["url"].help_text = f"{kept}{AS_APPRISE}"

    def clean_url(self) -> str:
        return str(self.cleaned_data["url"]).strip() or self._kept


class SentInline(ReadOnlyInline):
    model = Notification
    of = "channel"
    fields = ("at", "title", "state", "attempts", "last_error")
    readonly_fields = ("at",)
    verbose_name_plural = f"Sent through it (the newest {NEWEST_SHOWN})"

    @admin.display(description="when")
    def at(self, notification: Notification) -> str:
        return minute(notification.created_at)


@admin.register(NotificationChannel)
class NotificationChannelAdmin(MembersOnlyAdmin):
    form = ChannelForm
    list_display = ("name", "kind", "of", "masked", "enabled")
    list_select_related = ("workspace",)
    fields = ("workspace", "kind", "name", "url", "enabled")
    search_fields = ("name", "workspace__name")
    sortable_by = ()
    show_full_result_count = False
    actions = None
    inlines = (SentInline,)

    @admin.display(description="of")
    def of(self, channel: NotificationChannel) -> str:
        return str(channel.workspace or "the whole site")

    @admin.display(description="address")
    def masked(self, channel: NotificationChannel) -> str:
        return channel.masked_url

    # ── who ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """With what was sent through it: a secret must not have to stay."""
        return self.has_change_permission(request, obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A viewer sees what may be shown of the address."""
        if obj is not None and not self.has_change_permission(request, obj):
            return [name if name != "url" else "masked" for name in self.fields]
        return self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("masked",) if obj is None else ("workspace", "kind", "masked")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return () if obj is None else self.inlines

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "workspace" and field is not None:
            field.required = not is_superuser(request.user)
        return field

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "kind" and not is_superuser(request.user):
            kwargs["choices"] = [(kind.value, kind.label) for kind in Kind if kind != Kind.DESKTOP]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    # ── the test button ──────────────────────────────────────────────────────────────────────────────────────────

    def get_urls(self) -> list[URLPattern]:
        test = self.admin_site.admin_view(self.test)
        return [path("<int:channel_id>/test/", test, name="budgets_notificationchannel_test"), *super().get_urls()]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        channel = kwargs.get("obj")
        if channel is not None and may_change(request, channel):
            context["test_address"] = reverse("admin:budgets_notificationchannel_test", args=[channel.pk])
        if channel is not None and (test := last_test(channel)) is not None:
            context |= {"test": test, "test_at": minute(test.created_at), "test_outcome": _outcome(test)}
        return super().render_change_form(request, context, *args, **kwargs)

    def test(self, request: HttpRequest, channel_id: int) -> HttpResponse:
        channel: NotificationChannel = get_object_or_404(self.get_queryset(request), pk=channel_id)
        if not may_change(request, channel):
            raise PermissionDenied
        if request.method != "POST":
            page = {**self.admin_site.each_context(request), "title": "Send a test", "opts": self.opts}
            return TemplateResponse(request, "admin/budgets/notificationchannel/test.html", page | {"channel": channel})
        try:
            send_test(channel, request.user)  # type: ignore[arg-type]  # staff has signed in
        except TestRefusedError as refused:
            messages.warning(request, str(refused))
        return HttpResponseRedirect(reverse("admin:budgets_notificationchannel_change", args=[channel.pk]))


def _outcome(sent: Notification) -> str:
    """What became of a test, as a sentence."""
    state = Notification.State
    if sent.state == state.SENT:
        return "It was sent, and taken at the other end."
    if sent.state == state.UNVERIFIED:
        return f"It was handed over; whether it was shown is not known. {sent.last_error}"
    if sent.state == state.FAILED:
        return f"It could not be sent. {sent.last_error}"
    return (
        "It is on its way. That takes some seconds; when it takes minutes, see that the background service runs"
        " (`manage.py serve` starts it)."
    )
