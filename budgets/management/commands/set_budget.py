"""`manage.py set_budget`: give an agent, a workspace or the site a monthly budget, change it, or end it."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from budgets.lines import problem_with
from budgets.management.subject import account_of, add_subject, name_of, said, subject_of
from budgets.models import BudgetPolicy
from budgets.policies import By, policy_of, set_budget


class Command(BaseCommand):
    help = "Set a monthly budget, or with --none end it. What is left out stays as it is. Prints how it stands."

    def add_arguments(self, parser: CommandParser) -> None:
        add_subject(parser)
        parser.add_argument("--limit-cents", type=int, metavar="CENTS", help="per calendar month; 0: nothing at all")
        parser.add_argument("--none", action="store_true", help="end the budget; what was spent stays recorded")
        parser.add_argument(
            "--thresholds", type=thresholds, metavar="50,80,100", help="percents at which people are told"
        )
        parser.add_argument(
            "--mode",
            choices=BudgetPolicy.Mode.values,
            help="; ".join(f"{mode.value}: {mode.label.lower()}" for mode in BudgetPolicy.Mode),
        )
        parser.add_argument("--reason", default="", help="kept with the change")

    def handle(self, *_args: Any, none: bool, reason: str, **options: Any) -> None:
        subject = subject_of(options)
        fields = {name: options[name] for name in ("limit_cents", "thresholds", "mode") if options[name] is not None}
        if none and fields:
            raise CommandError("--none ends the budget; leave out what a budget would have, or --none.")
        if not none and not fields:
            raise CommandError("Say what to set: --limit-cents, --thresholds, --mode, or --none.")
        before = policy_of(subject)
        if before is None and "limit_cents" not in fields:
            if none:
                self.stdout.write(f"{name_of(subject)} has no budget; nothing was changed.")
                return
            raise CommandError(f"{name_of(subject)} has no budget yet; give it one with --limit-cents.")
        try:
            policy = set_budget(
                subject,
                by=By(command="manage.py set_budget"),
                reason=reason,
                **({"limit_cents": None} if none else fields),
            )
        except ValidationError as error:
            raise CommandError(said(error)) from None
        told = "its budget has ended" if policy is None else account_of(policy)
        self.stdout.write(self.style.SUCCESS(f"{name_of(subject)}: {told}"))


def thresholds(text: str) -> list[int]:
    """`50,80,100` as percents. ArgumentTypeError, with the mend, on anything else."""
    try:
        percents = [int(part) for part in text.split(",")]
    except ValueError:
        percents = []
    if problem := problem_with(percents):
        raise ArgumentTypeError(problem)
    return percents
