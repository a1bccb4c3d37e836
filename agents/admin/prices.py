"""Prices people enter: made and ended here, never deleted, for costs in the ledger name them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from agents.admin.access import MembersOnlyAdmin, is_superuser
from agents.figures import many
from agents.models import LedgerState, ModelPrice, Workspace
from agents.pricing import is_local
from agents.repricing import calls_it_is_for, current_month_start, reprice_after_saving, unpriced_models

WAITING_SHOWN = 12


@admin.register(ModelPrice)
class ModelPriceAdmin(MembersOnlyAdmin):
    list_display = ("model", "provider", "workspace", "price", "effective_from", "effective_to")
    list_select_related = ("workspace",)
    search_fields = ("model", "provider")
    ordering = ("model", "provider", "-effective_from", "-pk")
    actions = None
    readonly_fields = ("created_by", "created_at")
    fieldsets = (
        ("Whose calls, of which model", {"fields": ("workspace", "provider", "model")}),
        (
            "What they cost",
            {
                "fields": ("kind", "input_per_million", "output_per_million"),
                "description": "It holds whatever the service tier and the size of the context.",
            },
        ),
        (
            "Tokens that have a price of their own",
            {
                "classes": ("collapse",),
                "fields": (
                    "cache_read_per_million",
                    "cache_write_5m_per_million",
                    "cache_write_1h_per_million",
                    "reasoning_per_million",
                    "input_audio_per_million",
                    "output_audio_per_million",
                ),
            },
        ),
        ("The same as another model", {"classes": ("collapse",), "fields": ("same_as_provider", "same_as_model")}),
        (
            "When",
            {
                "fields": ("effective_from", "effective_to"),
                "description": "A call has the price of the time it began. When a price changes, end the old one and"
                " add the new one, so that earlier calls keep theirs.",
            },
        ),
        ("Who entered it", {"classes": ("collapse",), "fields": ("created_by", "created_at")}),
    )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if "workspace" in form.base_fields:
            # A price for every workspace is the site's: only who runs the site enters it.
            form.base_fields["workspace"].required = not is_superuser(request.user)
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """From the start of the month: who enters a price mostly means the calls that are there already."""
        state = LedgerState.current()
        initial: dict[str, Any] = {"effective_from": state.days().start(current_month_start(state=state))}
        return initial | super().get_changeform_initial_data(request)

    def save_model(self, request: HttpRequest, obj: ModelPrice, form: Any, change: bool) -> None:
        if not change:
            obj.created_by_id = request.user.pk
        super().save_model(request, obj, form, change)
        reprice_after_saving(obj)
        if waiting := calls_it_is_for(obj, self._unpriced(request)):
            messages.info(
                request,
                f"It is for {many(waiting, 'unpriced call')} of this month. Those that began while it holds get their"
                " cost within a minute. Earlier months: manage.py reprice --include-closed.",
            )

    @admin.display(description="price")
    def price(self, price: ModelPrice) -> str:
        if price.kind == ModelPrice.Kind.FREE:
            return "costs nothing"
        if price.kind == ModelPrice.Kind.SAME_AS:
            provider = f"{price.same_as_provider}/" if price.same_as_provider else ""
            return f"as {provider}{price.same_as_model}"
        return f"{_usd(price.input_per_million)} in, {_usd(price.output_per_million)} out"

    def get_list_display(self, request: HttpRequest) -> Any:
        unpriced = self._unpriced(request)

        @admin.display(description="unpriced calls this month")
        def unpriced_calls(price: ModelPrice) -> str:
            return f"{calls_it_is_for(price, unpriced):,}"

        return (*self.list_display, unpriced_calls)

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: ModelPrice | None = None,
    ) -> HttpResponse:
        # After a form with mistakes `obj` has what was typed, which may be no price.
        if obj and not context["errors"] and (waiting := calls_it_is_for(obj, self._unpriced(request))):
            context["subtitle"] = f"{obj}, for {many(waiting, 'unpriced call')} of this month"
        return super().render_change_form(request, context, add, change, form_url, obj)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """With the models that wait for a price, each a click from its form."""
        waiting = self._waiting(request)
        return super().changelist_view(
            request,
            (extra_context or {}) | {"waiting": waiting[:WAITING_SHOWN], "more_waiting": len(waiting[WAITING_SHOWN:])},
        )

    def _waiting(self, request: HttpRequest) -> list[dict[str, Any]]:
        by_model: dict[tuple[str, str], int] = {}
        for (_, provider, model), calls in self._unpriced(request).items():
            by_model[provider, model] = by_model.get((provider, model), 0) + calls
        form = reverse("admin:agents_modelprice_add")
        return [
            {
                "provider": provider,
                "model": model,
                "calls": calls,
                "is_local": is_local(provider),
                "form": f"{form}?{urlencode({'provider': provider, 'model': model})}",
                "free_form": f"{form}?{urlencode({'provider': provider, 'model': '*', 'kind': 'free'})}",
            }
            for (provider, model), calls in sorted(by_model.items(), key=lambda item: -item[1])
        ]

    def _unpriced(self, request: HttpRequest) -> dict[tuple[int, str, str], int]:
        """Read once a request: the list asks for it several times."""
        known: dict[tuple[int, str, str], int] | None = getattr(request, "_unpriced_models", None)
        if known is None:
            known = unpriced_models(Workspace.objects.visible_to(request.user))
            request._unpriced_models = known  # type: ignore[attr-defined]  # kept on the request it was read for
        return known


def _usd(per_million: Decimal | None) -> str:
    return "not entered" if per_million is None else f"${per_million.normalize():f}"
