"""agentrun-sdk, in async form, several calls at a time: against the agent that the test has deployed."""

import asyncio
import sys

from agentrun.agent_runtime import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeListInput,
    AgentRuntimeUpdateInput,
)
from agentrun.utils.exception import ResourceNotExistError
from report import report

runtime_id, name = sys.argv[1:]
client = AgentRuntimeClient()


async def invoke(question, stream):
    # One await gives another awaitable: the SDK's own gap.
    answer = await client.invoke_openai_async(
        agent_runtime_name=name,
        agent_runtime_endpoint_name="Default",
        messages=[{"role": "user", "content": question}],
        stream=stream,
    )
    return await answer


async def main():
    got = await client.get_async(runtime_id)
    report(name=got.agent_runtime_name, listed=[it.agent_runtime_name for it in await client.list_async(AgentRuntimeListInput(agent_runtime_name=name))])
    report(listedAll=name in [it.agent_runtime_name for it in await AgentRuntime.list_all_async()])

    answers = await asyncio.gather(*(invoke(f"question {number}", False) for number in range(4)))
    report(answers=[it.choices[0].message.content.strip() for it in answers])
    stream = await invoke("stream", True)
    report(stream=[piece.choices[0].delta.content async for piece in stream if piece.choices[0].delta.content])

    endpoint = await client.create_endpoint_async(
        runtime_id, AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="async")
    )
    await endpoint.wait_until_ready_or_failed_async(interval_seconds=1)
    endpoint_id = endpoint.agent_runtime_endpoint_id
    await client.update_endpoint_async(
        runtime_id, endpoint_id, AgentRuntimeEndpointUpdateInput(description="changed")
    )
    got = await client.get_endpoint_async(runtime_id, endpoint_id)
    report(
        endpoint=endpoint.status,
        description=got.description,
        endpoints=sorted(it.agent_runtime_endpoint_name for it in await client.list_endpoints_async(runtime_id)),
        versions=len(await client.list_versions_async(runtime_id)) > 0,
    )
    await got.delete_and_wait_until_finished_async(interval_seconds=1)
    try:
        await client.get_endpoint_async(runtime_id, endpoint_id)
        report(endpointGone=False)
    except ResourceNotExistError as error:
        report(endpointGone=str(error))

    updated = await client.update_async(
        runtime_id, AgentRuntimeUpdateInput(description="changed", cpu=1, memory=512)
    )
    await updated.wait_until_ready_or_failed_async(interval_seconds=1)
    report(updated=updated.status, updatedDescription=updated.description)


asyncio.run(main())
