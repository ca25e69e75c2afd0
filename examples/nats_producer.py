#!/usr/bin/env python3
"""Commands over NATS with a plain client: once durably, once as a request.

    pip install nats-py
    python3 examples/nats_producer.py nats://127.0.0.1:4222

Prints two JSON lines: the outcome of each command. The address of a `capstan dev` is in `.capstan/run.json`.
"""

import asyncio
import json
import sys
import uuid

import nats


async def main(url: str) -> None:
    client = await nats.connect(url)

    # Durable: once the publish is acknowledged, the command will be processed, whatever crashes meanwhile. The outcome
    # is published on its own subject and kept there for a day.
    command_id = str(uuid.uuid4())
    outcome = await client.subscribe(f"capstan.cmd-result.dev.{command_id}")
    await client.jetstream().publish(
        "capstan.cmd.dev.accept-agent-command",
        json.dumps({"agent_id": "demo", "message": "published durably"}).encode(),
        headers={"Capstan-Command-Id": command_id},
    )
    print((await outcome.next_msg(timeout=30)).data.decode())

    # Request/reply: the answer is the receipt, or a problem document with a stable code.
    answer = await client.request(
        "capstan.rpc.dev.accept-agent-command",
        json.dumps({"agent_id": "demo", "message": "asked for"}).encode(),
        timeout=30,
    )
    print(answer.data.decode())
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "nats://127.0.0.1:4222"))
