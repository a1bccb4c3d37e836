"""A process that runs agents: a script that makes real LangChain calls with the callback, as it is told line by line.

Each line of standard input is a command; when it is done, a line of standard output says so.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading

from langchain_plugin import CostCallbackHandler
from tests.langchain_plugin.models import ScriptedModel

costs = CostCallbackHandler()
model = ScriptedModel()


def call(count: int) -> None:
    for _ in range(count):
        model.invoke("How much is the fish?", config={"callbacks": [costs]})


def call_in_threads(count: int, threads: int) -> None:
    workers = [threading.Thread(target=call, args=(count // threads,)) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def fork(count: int, *, then: str) -> int:
    """A child that makes calls, then ends by `exit` (as gunicorn's workers do), `_exit`, or lives until it flushed."""
    pid = os.fork()
    if pid:
        return pid
    call(count)
    if then == "live":
        costs.flush(60)
    if then == "exit":
        sys.exit(0)
    os._exit(0)


def spawn(count: int, method: str) -> None:
    child = multiprocessing.get_context(method).Process(target=call, args=(count,))
    child.start()
    child.join()
    assert child.exitcode == 0, child.exitcode


def main() -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["call", count]:
                call(int(count))
                print("done", flush=True)
            case ["call", count, "threads", threads]:
                call_in_threads(int(count), int(threads))
                print("done", flush=True)
            case ["flush", seconds]:
                print(costs.flush(float(seconds)), flush=True)
            case ["fork", count, then]:
                pid = fork(int(count), then=then)
                if then != "live":
                    os.waitpid(pid, 0)
                print(pid, flush=True)
            case ["spawn", count, method]:
                spawn(int(count), method)
                print("done", flush=True)
            case ["losses"]:
                print(costs.reporter.losses, flush=True)
            case ["exit"]:
                return


if __name__ == "__main__":
    main()
