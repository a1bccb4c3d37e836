"""A notification gets to its channel once, or again, or not at all: each as its kind of channel allows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from budgets.couriers.answer import Answer, Fate
from budgets.models import Notification, NotificationChannel
from budgets.notifications import sending
from budgets.notifications.sending import QUEUE_TAKES, SENDING_TAKES, WAITS, send, sweep

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

State = Notification.State
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DOWN = Answer(Fate.FAILED, "The service answered 503 (Service Unavailable).")


class Post:
    """Hands messages over in place of the courier, and remembers them."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.carried: list[UUID] = []

    def __call__(self, notification: Notification) -> Answer:
        self.carried.append(notification.notification_id)
        return self.answers.pop(0) if self.answers else Answer(Fate.SENT)


@pytest.fixture
def waiting(db: None) -> Callable[..., Notification]:
    """Makes a notification that waits to be sent since `NOW`."""

    def make(kind: str = "webhook", cause: str = "crossing", **fields: object) -> Notification:
        number = Notification.objects.count()
        channel = NotificationChannel.objects.create(kind=kind, name=f"channel {number}")
        return Notification.objects.create(
            **{"channel": channel, "cause": cause, "cause_key": f"{cause}:{number}", "title": "t", "body": "b"}
            | {"next_try_at": NOW, "created_at": NOW}
            | fields
        )

    return make


def at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


def queued() -> list[int]:
    return [task.task["args"][0] for task in OrmQ.objects.order_by("pk")]


# ── once ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_due_is_sent_and_then_never_again(waiting: Callable[..., Notification]) -> None:
    row, post = waiting(), Post()
    assert [send(row.pk, carry=post, now=at(NOW)) for _ in range(3)] == ["sent", "not due", "not due"]
    row.refresh_from_db()
    assert post.carried == [row.notification_id]
    assert (row.state, row.attempts, row.settled_at, row.next_try_at, row.last_error) == (State.SENT, 1, NOW, None, "")


def test_while_one_worker_sends_another_with_the_same_task_does_not(waiting: Callable[..., Notification]) -> None:
    row, others = waiting(), Post()

    def carry(_notification: Notification) -> Answer:
        assert send(row.pk, carry=others, now=at(NOW)) == "not due"
        return Answer(Fate.SENT)

    assert send(row.pk, carry=carry, now=at(NOW)) == "sent"
    assert others.carried == []


@pytest.mark.postgresql("threads that write to one SQLite in memory lock each other's tables")
def test_of_many_workers_with_the_same_task_one_sends(waiting: Callable[..., Notification]) -> None:
    row, post = waiting(), Post()
    together = threading.Barrier(4)
    said: list[str] = []

    def work() -> None:
        together.wait()
        said.append(send(row.pk, carry=post, now=at(NOW)))
        connection.close()

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(said) == ["not due", "not due", "not due", "sent"]
    assert len(post.carried) == 1


def test_nothing_is_sent_before_it_is_due_or_when_it_is_gone(waiting: Callable[..., Notification]) -> None:
    row, post = waiting(), Post()
    assert send(row.pk, carry=post, now=at(NOW - SECOND)) == "not due"
    assert send(row.pk + 1_000, carry=post, now=at(NOW)) == "not due"
    assert post.carried == []


def test_a_channel_that_was_switched_off_meanwhile_is_left_alone(waiting: Callable[..., Notification]) -> None:
    row, tried, post = waiting(), waiting(cause="test"), Post()
    NotificationChannel.objects.update(enabled=False)
    assert send(row.pk, carry=post, now=at(NOW)) == "failed"
    row.refresh_from_db()
    assert row.last_error == sending.SWITCHED_OFF
    assert send(tried.pk, carry=post, now=at(NOW)) == "sent", "a test is of the channel, on or off"
    assert post.carried == [tried.notification_id]


# ── again ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failure_is_tried_again_with_growing_pauses_and_given_up_after_about_a_day(
    waiting: Callable[..., Notification],
) -> None:
    row, post = waiting(), Post(*[DOWN] * 20)
    now, pauses = NOW, []
    while send(row.pk, carry=post, now=at(now)) == "waiting":
        row.refresh_from_db()
        assert row.last_error == DOWN.reason
        assert row.next_try_at is not None
        pauses.append(row.next_try_at - now)
        assert send(row.pk, carry=post, now=at(row.next_try_at - SECOND)) == "not due"
        now = row.next_try_at
    row.refresh_from_db()
    assert pauses == list(WAITS) == sorted(WAITS)
    assert timedelta(hours=24) < now - NOW < timedelta(hours=25)
    assert (row.state, row.attempts, row.last_error) == (State.FAILED, 9, DOWN.reason)
    assert set(post.carried) == {row.notification_id}, "the id stays the same"


def test_what_no_attempt_can_mend_is_not_tried_again(
    waiting: Callable[..., Notification], caplog: pytest.LogCaptureFixture
) -> None:
    row = waiting()
    assert send(row.pk, carry=Post(Answer(Fate.REFUSED, "Mend it.")), now=at(NOW)) == "failed"
    assert f"Notification {row.notification_id} could not be sent: Mend it." in caplog.text


def test_a_test_is_tried_once(waiting: Callable[..., Notification]) -> None:
    assert send(waiting(cause="test").pk, carry=Post(DOWN), now=at(NOW)) == "failed"


def test_a_desktop_is_told_at_most_once(waiting: Callable[..., Notification]) -> None:
    failed, unknown = waiting("desktop"), waiting("desktop")
    post = Post(DOWN, Answer(Fate.UNVERIFIED, "Not known."))
    assert send(failed.pk, carry=post, now=at(NOW)) == "failed"
    assert send(unknown.pk, carry=post, now=at(NOW)) == "not known whether shown"
    unknown.refresh_from_db()
    assert (unknown.state, unknown.last_error) == (State.UNVERIFIED, "Not known.")


def test_a_desktop_that_cannot_be_reached_has_failed_and_says_what_to_install(
    waiting: Callable[..., Notification], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    row = waiting("desktop")
    assert send(row.pk, now=at(NOW)) == "failed"
    row.refresh_from_db()
    assert "install Debian's libnotify-bin" in row.last_error


# ── what was lost ────────────────────────────────────────────────────────────────────────────────────────────────────


def killed(row: Notification) -> None:
    """As a worker leaves it that died in the middle."""

    class Died(BaseException):
        pass

    def die(_notification: Notification) -> Answer:
        raise Died

    with pytest.raises(Died):
        send(row.pk, carry=die, now=at(NOW))
    row.refresh_from_db()
    assert row.state == State.SENDING


def test_the_sweep_takes_up_what_a_killed_worker_left(waiting: Callable[..., Notification]) -> None:
    row, post = waiting(), Post()
    killed(row)
    assert sweep(NOW + SENDING_TAKES) == "0 notifications queued"  # it may be at it at this moment
    assert sweep(NOW + SENDING_TAKES + SECOND) == "1 notifications queued"
    assert queued() == [row.pk]
    assert send(row.pk, carry=post, now=at(NOW + SENDING_TAKES + SECOND)) == "sent"
    row.refresh_from_db()
    assert (row.attempts, post.carried) == (2, [row.notification_id])


def test_a_desktop_whose_worker_was_killed_is_never_told_again(waiting: Callable[..., Notification]) -> None:
    row, post = waiting("desktop"), Post()
    killed(row)
    assert sweep(NOW + SENDING_TAKES + SECOND) == "0 notifications queued"
    assert send(row.pk, carry=post, now=at(NOW + timedelta(days=1))) == "not due"
    row.refresh_from_db()
    assert (row.state, row.last_error, post.carried) == (State.UNVERIFIED, sending.DIED_AFTER_SHOWING, [])


def test_a_notification_that_kills_its_workers_is_given_up_too(waiting: Callable[..., Notification]) -> None:
    row = waiting(attempts=len(WAITS))
    killed(row)
    assert sweep(NOW + SENDING_TAKES + SECOND) == "0 notifications queued"
    row.refresh_from_db()
    assert (row.state, row.last_error) == (State.FAILED, sending.DIED)


def test_a_worker_that_was_asleep_does_not_undo_what_another_did(waiting: Callable[..., Notification]) -> None:
    row = waiting()

    def sleep(_notification: Notification) -> Answer:
        later = NOW + SENDING_TAKES + SECOND
        sweep(later)
        send(row.pk, carry=Post(), now=at(later))
        return DOWN

    send(row.pk, carry=sleep, now=at(NOW))
    row.refresh_from_db()
    assert (row.state, row.attempts) == (State.SENT, 2)


def test_a_lost_task_is_queued_again_and_a_waiting_one_is_not(waiting: Callable[..., Notification]) -> None:
    lost, waits, never, later = (
        waiting(queued_at=NOW - QUEUE_TAKES - SECOND), waiting(queued_at=NOW - QUEUE_TAKES), waiting(),
        waiting(next_try_at=NOW + SECOND),
    )  # fmt: skip
    assert sweep(NOW) == "2 notifications queued"
    assert queued() == [lost.pk, never.pk]
    assert sweep(NOW) == "0 notifications queued"
    assert later.pk not in queued()
    assert waits.pk not in queued()


def test_the_sweep_is_two_reads_when_nothing_is_due(
    waiting: Callable[..., Notification], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    send(waiting().pk, carry=Post(), now=at(NOW))
    with django_assert_num_queries(2):
        assert sweep(NOW) == "0 notifications queued"


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_tests_hold_one_worker_and_follow_one_another(waiting: Callable[..., Notification]) -> None:
    slow, next_one, news = waiting(cause="test"), waiting(cause="test", queued_at=NOW), waiting()
    others = Post()

    def carry(_notification: Notification) -> Answer:
        assert send(next_one.pk, carry=others, now=at(NOW)) == "not due"
        assert send(news.pk, carry=others, now=at(NOW)) == "sent"
        return DOWN

    assert send(slow.pk, carry=carry, now=at(NOW)) == "failed"
    assert others.carried == [news.notification_id]
    assert queued() == [next_one.pk]
    assert send(next_one.pk, carry=others, now=at(NOW)) == "sent"


def test_a_test_whose_worker_was_killed_holds_up_no_other(waiting: Callable[..., Notification]) -> None:
    later = NOW + SENDING_TAKES
    waiting(cause="test", state=State.SENDING, claimed_at=NOW)
    row = waiting(cause="test", queued_at=NOW)
    assert send(row.pk, carry=Post(), now=at(later - SECOND)) == "not due"
    assert sweep(later) == "1 notifications queued"
    assert send(row.pk, carry=Post(), now=at(later)) == "sent"
