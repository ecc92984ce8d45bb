"""A run of the queue client against the scripted server of conftest.py."""

import asyncio

from kontinuity.batch.client import QueueClient

WORKFLOW = {"3": {"class_type": "Paint", "inputs": {"seed": 1}}, "7": {"class_type": "Save", "inputs": {}}}
OUTPUTS = {"7": {"images": [{"filename": "beach.png", "subfolder": "story", "type": "output"}], "text": ["beach"]}}


def play(comfyui, script=None, *, poll=0.02, timeout=5, act=None):
    """Run WORKFLOW against the scripted server; return the result and the events."""
    comfyui.script = script
    events = []

    async def go():
        async with comfyui.serve() as url, QueueClient(url, poll_seconds=poll, patience_seconds=0.5) as client:
            run = asyncio.create_task(client.run(WORKFLOW, events.append, prompt_id="p1", timeout=timeout))
            if act:
                await act(client, run)
            return await run

    return asyncio.run(go()), events


async def normal_run(server, prompt_id, client_id):
    await asyncio.sleep(0.05)
    server.begin(prompt_id)
    await server.send(client_id, "execution_start", prompt_id=prompt_id)
    await server.send(client_id, "executing", node="3", prompt_id=prompt_id)
    await server.send(client_id, "executing", node="99", prompt_id="somebody else's")
    await server.send(client_id, "progress", node="3", value=1, max=2, prompt_id=prompt_id)
    await server.sockets[client_id].send_bytes(bytes(6 << 20))  # a preview larger than aiohttp allows by default
    await server.send(client_id, "progress", node="3", value=2, max=2, prompt_id=prompt_id)
    await server.send(client_id, "executed", node="7", output=OUTPUTS["7"], prompt_id=prompt_id)
    await server.send(client_id, "execution_success", prompt_id=prompt_id)
    server.end(prompt_id, OUTPUTS)
    await server.send(client_id, "executing", node=None, prompt_id=prompt_id)
