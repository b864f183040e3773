"""The load generator, in a process of its own: one measurement, one line of JSON.

run.py names the scenario and writes the target and the scenario's arguments to its input: they
hold a token.
"""

import asyncio
import importlib
import json
import os
import sys
import time

from load import Target

LIMIT_S = 60


async def main() -> None:
    scenario = importlib.import_module(f"scenarios.{sys.argv[1]}")
    told = json.load(sys.stdin)
    target = Target(**told["target"])
    began, cpu_before = time.perf_counter(), sum(os.times()[:2])
    async with asyncio.timeout(LIMIT_S):
        result = await scenario.measure(target, **told["arguments"])
    took = time.perf_counter() - began
    result["generator_cpu_share"] = (sum(os.times()[:2]) - cpu_before) / took
    print(json.dumps(result), flush=True)
    if sys.argv[1] == "client_idle":
        os._exit(0)  # ending a thousand clients is not measured, and takes long


if __name__ == "__main__":
    import uvloop

    # A client is measured on the loop that applications have, a load generator on the fastest.
    run = asyncio.run if sys.argv[1].startswith("client_") else uvloop.run
    run(main())
