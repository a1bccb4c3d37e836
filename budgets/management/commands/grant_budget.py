"""`manage.py grant_budget`: more money for a while, on top of a budget."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from budgets.grant_days import end_of, last_day_of_this_month
from budgets.management.subject import account_of, add_subject, name_of, said, subject_of
from budgets.policies import By, grant, policy_of


class Command(BaseCommand):
    help = "Raise a budget's limit for a while. What was refused for it runs again within seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        add_subject(parser)
        parser.add_argument("--cents", type=int, required=True, help="on top of the limit; 100 are 1 USD")
        parser.add_argument(
            "--last-day", type=_day, metavar="YYYY-MM-DD", help="the last day it holds (without it: of this month)"
        )
        parser.add_argument("--reason", required=True, help="kept with the grant")

    def handle(self, *_args: Any, cents: int, last_day: date | None, reason: str, **options: Any) -> None:
        subject = subject_of(options)
        policy = policy_of(subject)
        if policy is None:
            raise CommandError(f"{name_of(subject)} has no budget to add to; `manage.py set_budget` gives it one.")
        try:
            ends_at = end_of(last_day or last_day_of_this_month())
            grant(policy, cents, ends_at=ends_at, reason=reason, by=By(command="manage.py grant_budget"))
        except ValidationError as error:
            raise CommandError(said(error)) from None
        self.stdout.write(self.style.SUCCESS(f"{name_of(subject)}: {account_of(policy)}"))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-30.") from None
