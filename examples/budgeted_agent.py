"""An agent that works until its monthly budget is spent, and is then refused.

COSTSITE_URL and COSTSITE_API_KEY say where to report. A site gives budgets to agents it has heard of, so one letter
comes first:

    python examples/budgeted_agent.py 1
    python manage.py set_budget WORKSPACE --agent thrifty-bot --limit-cents 5
    python examples/budgeted_agent.py

The site of `make run` knows the agent and has given it a budget: there the last line is enough. The model is a script
that counts its tokens and is priced as gpt-5-mini: nothing is bought.
"""

from __future__ import annotations

import sys

from langchain.agents import create_agent
from langchain_core.language_models.base import LangSmithParams
from support_agent import INSTRUCTIONS, SCRIPTED, ScriptedModel, look_up_order

from langchain_plugin import BudgetExceeded, CostCallbackHandler

MOST_RUNS = 2_000
LETTER = "Dear shop, " + "it rained all summer and I thought of my parcel. " * 26 + "Where is my order 1042?"


class FrugalModel(ScriptedModel):
    """The same script, with a maximum of output tokens: so a call holds no more than it may cost."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: object) -> LangSmithParams:
        return LangSmithParams(ls_provider="openai", ls_model_name="gpt-5-mini", ls_model_type="chat", ls_max_tokens=60)


def main() -> None:
    print(f"Asking {SCRIPTED}.", flush=True)
    agent = create_agent(FrugalModel(), tools=[look_up_order], system_prompt=INSTRUCTIONS)
    costs = CostCallbackHandler(agent="thrifty-bot", held_wait_seconds=10)
    most = int(sys.argv[1]) if len(sys.argv) > 1 else MOST_RUNS
    for run in range(most):
        try:
            agent.invoke({"messages": [{"role": "user", "content": LETTER}]}, config={"callbacks": [costs]})
        except BudgetExceeded as refusal:
            costs.flush()
            print(f"thrifty-bot answered {run} letters. {refusal}")
            return
    costs.flush()
    if most == MOST_RUNS:
        sys.exit(f"thrifty-bot answered {MOST_RUNS} letters and was never refused: it has no budget at this site.")
    print(f"thrifty-bot answered {most} {'letter' if most == 1 else 'letters'}.")


if __name__ == "__main__":
    main()
