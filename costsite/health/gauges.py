"""The site's figures for Prometheus, read when asked: each a bounded query, whatever the ledger holds."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db.models import F, Max, Min, Sum
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from redis import RedisError

from agents.clients import lost_events
from agents.models import Client, LedgerState, WorkspaceDay
from budgets.models import Notification, SpendLease
from costsite.tasks import TICK

log = logging.getLogger(__name__)

SEEN_LATELY: Final = timedelta(minutes=15)
"""Processes that reported within it are counted as running."""
MOST_CLIENTS: Final = 10_000


def exposition() -> tuple[bytes, str]:
    """The figures in Prometheus' text format, and its content type."""
    registry = CollectorRegistry()
    registry.register(_Site(timezone.now()))
    return generate_latest(registry), CONTENT_TYPE_LATEST


class _Site(Collector):
    def __init__(self, now: datetime) -> None:
        self._now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._ledger()
        yield from self._clients()
        yield from self._leases()
        yield from self._background()

    def _ledger(self) -> Iterator[Metric]:
        days = WorkspaceDay.objects.aggregate(calls=Sum("calls", default=0), cost=Sum("cost_microcents", default=0))
        yield CounterMetricFamily("costsite_calls", "Model calls in the ledger; its rate is ingest.", days["calls"])
        yield GaugeMetricFamily("costsite_cost_usd", "What they cost, as far as they are priced.", days["cost"] / 1e8)
        month = LedgerState.current().today().replace(day=1)
        unpriced = WorkspaceDay.objects.filter(day__gte=month).aggregate(calls=Sum("unpriced_calls", default=0))
        yield GaugeMetricFamily("costsite_unpriced_calls", "This month's calls without a price.", unpriced["calls"])

    def _clients(self) -> Iterator[Metric]:
        last = Client.objects.aggregate(at=Max("last_seen_at"))["at"]
        if last is not None:
            yield GaugeMetricFamily(
                "costsite_last_report_age_seconds", "Since any process reported.", self._seconds_since(last)
            )
        lately = Client.objects.filter(last_seen_at__gte=self._now - SEEN_LATELY)
        reporting = lately.order_by("-last_seen_at").values_list("spool_events", "dropped", "rejected_events")[
            :MOST_CLIENTS
        ]
        dropped: Counter[str] = Counter()
        count = waiting = rejected = 0
        for events, losses, refused in reporting:
            count += 1
            waiting += events
            rejected += refused
            dropped.update(lost_events(losses))
        yield GaugeMetricFamily("costsite_processes", "That reported within 15 minutes.", count)
        yield GaugeMetricFamily("costsite_waiting_events", "Not sent yet, as those processes last said.", waiting)
        lost = GaugeMetricFamily(
            "costsite_dropped_events", "Lost by those processes since they began.", labels=["reason"]
        )
        for reason, number in sorted(dropped.items()):
            lost.add_metric([reason], number)
        yield lost
        yield GaugeMetricFamily(
            "costsite_rejected_events", "Turned away from those processes, which keep them.", rejected
        )

    def _leases(self) -> Iterator[Metric]:
        holding = SpendLease.objects.holding(self._now)
        held = holding.aggregate(held=Sum(F("granted_microcents") - F("used_microcents"), default=0))["held"]
        yield GaugeMetricFamily("costsite_live_leases", "That hold money.", holding.count())
        yield GaugeMetricFamily("costsite_held_usd", "What they hold.", held / 1e8)

    def _background(self) -> Iterator[Metric]:
        try:
            queued = int(get_broker().queue_size())
        except RedisError as error:
            log.warning("The queue's length is not known: %s", error)
        else:
            yield GaugeMetricFamily("costsite_queued_tasks", "Waiting for the background service.", queued)
        if not settings.REDIS_URL:
            oldest: Any = OrmQ.objects.aggregate(at=Min("lock"))["at"]
            age = self._seconds_since(oldest) if oldest is not None else 0.0
            yield GaugeMetricFamily("costsite_oldest_task_age_seconds", "Of those; 0 when none waits.", age)
        due = Schedule.objects.filter(name=TICK).values_list("next_run", flat=True).first()
        if due is not None:
            yield GaugeMetricFamily(
                "costsite_tick_overdue_seconds", "How late the background service is.", self._seconds_since(due)
            )
        failed = Notification.objects.filter(state=Notification.State.FAILED).count()
        yield GaugeMetricFamily("costsite_failed_notifications", "That nobody got, for good.", failed)

    def _seconds_since(self, at: datetime) -> float:
        return max(0.0, (self._now - at).total_seconds())
