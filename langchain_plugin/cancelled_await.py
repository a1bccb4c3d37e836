"""A cancelled await reaches neither end nor error; its signs are its task's end, or its task's next call."""

from __future__ import annotations

import asyncio
from uuid import UUID

from langchain_plugin.run_tree import OpenCall, RunTree


def watch_for_cancellation(tree: RunTree, call: OpenCall, parent_id: UUID | None) -> None:
    """Have an open call reported as cancelled, by the handler that owns it, when the task it began in shows a sign.

    Args:
        tree: That knows the call.
        call: Begun just now, on the event loop that runs here.
        parent_id: LangChain's id of what the call was made in.

    """
    task = asyncio.current_task()
    if task is None:
        return

    def task_ended(_: object) -> None:
        call.forget_task = None
        tree.left_task(call, task)
        if tree.is_open(call):
            tree.close_call(call.langchain_run_id, call.owner)
            call.owner.report_cancelled(call)

    def forget_task() -> None:
        tree.left_task(call, task)
        task.remove_done_callback(task_ended)

    task.add_done_callback(task_ended)
    call.forget_task = forget_task
    over = tree.began_in_task(call, task, parent_id)
    if over is not None:
        over.owner.report_cancelled(over)
