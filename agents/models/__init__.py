"""The ledger's tables, a file per topic."""

from agents.models.calls import LLMCall
from agents.models.corrections import CostCorrection
from agents.models.ledger_state import LedgerState
from agents.models.merges import AgentMerge
from agents.models.people import Agent, ApiKey, Client, Membership, Workspace
from agents.models.prices import ModelPrice, PriceListState
from agents.models.refusals import ReportedRefusal
from agents.models.rollups import (
    AgentDay,
    ModelDay,
    TagDay,
    TagMonth,
    UsageDay,
    UsageMonth,
    WorkspaceDay,
    WorkspaceTagDay,
)
from agents.models.runs import AgentRunLog

__all__ = [
    "Agent",
    "AgentDay",
    "AgentMerge",
    "AgentRunLog",
    "ApiKey",
    "Client",
    "CostCorrection",
    "LLMCall",
    "LedgerState",
    "Membership",
    "ModelDay",
    "ModelPrice",
    "PriceListState",
    "ReportedRefusal",
    "TagDay",
    "TagMonth",
    "UsageDay",
    "UsageMonth",
    "Workspace",
    "WorkspaceDay",
    "WorkspaceTagDay",
]
