"""agentrun-sdk, in blocking form: an agent's whole life, from a folder."""

import sys

from agentrun.agent_runtime import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeEndpointUpdateInput,
    AgentRuntimeLanguage,
    AgentRuntimeListInput,
    AgentRuntimeUpdateInput,
)
from agentrun.utils.exception import ResourceNotExistError
from report import error_of, report, until

folder, name = sys.argv[1:]
client = AgentRuntimeClient()


def ask(endpoint, question):
    answer = client.invoke_openai(
        agent_runtime_name=name,
        agent_runtime_endpoint_name=endpoint,
        messages=[{"role": "user", "content": question}],
        stream=False,
    )
    return answer.choices[0].message.content


def ask_for_stream(endpoint, question):
    pieces = client.invoke_openai(
        agent_runtime_name=name,
        agent_runtime_endpoint_name=endpoint,
        messages=[{"role": "user", "content": question}],
        stream=True,
    )
    return [piece.choices[0].delta.content for piece in pieces if piece.choices[0].delta.content]


code = AgentRuntimeCode.from_file(
    language=AgentRuntimeLanguage.NODEJS20, command=["node", "server.mjs"], file_path=folder
)
runtime = client.create(
    AgentRuntimeCreateInput(
        agent_runtime_name=name,
        code_configuration=code,
        cpu=1,
        memory=512,
        description="made by agentrun-sdk: ä+~ 中",
    )
)
report(created=runtime.status)
runtime.wait_until_ready_or_failed(interval_seconds=1)
got = client.get(runtime.agent_runtime_id)
report(
    status=got.status,
    statusReason=got.status_reason,
    description=got.description,
    cpu=got.cpu,
    memory=got.memory,
    port=got.port,
    environment=got.environment_variables,
)
report(
    listed=[it.agent_runtime_name for it in client.list(AgentRuntimeListInput(agent_runtime_name=name, page_size=50))],
    listedAll=[it.agent_runtime_name for it in AgentRuntime.list_all(agent_runtime_name=name, search_mode="exact")],
    listedByStatus=name in [it.agent_runtime_name for it in AgentRuntime.list_all(status="READY,UPDATING")],
    listedOddly=[it.agent_runtime_name for it in AgentRuntime.list_all(agent_runtime_name="a+b ~c/*中%2F")],
)

endpoint = client.create_endpoint(
    runtime.agent_runtime_id,
    AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="Default", description="first"),
)
endpoint.wait_until_ready_or_failed(interval_seconds=1)
report(
    endpoint=endpoint.status,
    endpointUrl=endpoint.endpoint_public_url,
    endpointVersion=endpoint.target_version,
    answer=ask("Default", "who+are~you 中"),
    stream=ask_for_stream("Default", "again"),
    answerOfObject=runtime.invoke_openai(
        messages=[{"role": "user", "content": "object"}], stream=False
    ).choices[0].message.content,
    answerOfEndpoint=error_of(
        lambda: endpoint.invoke_openai(messages=[{"role": "user", "content": "hello"}], stream=False)
    ),
)

# The SDK sends cpu, memory and port with every update, its own defaults where none is given.
updated = client.update(
    runtime.agent_runtime_id, AgentRuntimeUpdateInput(environment_variables={"GREETING": "good day"})
)
report(updating=updated.status)
updated.wait_until_ready_or_failed(interval_seconds=1)
got = client.get(runtime.agent_runtime_id)
report(updated=got.status, updatedCpu=got.cpu, updatedMemory=got.memory, updatedAnswer=ask("Default", "and now"))

runtime_id, endpoint_id = runtime.agent_runtime_id, endpoint.agent_runtime_endpoint_id
changed = client.update_endpoint(
    runtime_id, endpoint_id, AgentRuntimeEndpointUpdateInput(description="second", disable_public_network_access=False)
)
changed.wait_until_ready_or_failed(interval_seconds=1)
report(
    endpointDescription=client.get_endpoint(runtime_id, endpoint_id).description,
    endpoints=[it.agent_runtime_endpoint_name for it in client.list_endpoints(runtime_id)],
    versions=sorted(it.agent_runtime_version for it in client.list_versions(runtime_id)),
)


def is_gone(get):
    try:
        get()
        return False
    except ResourceNotExistError:
        return True


second = client.create_endpoint(
    runtime_id, AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="second")
)
second.wait_until_ready_or_failed(interval_seconds=1)
deleted = client.delete_endpoint(runtime_id, second.agent_runtime_endpoint_id)
report(endpointDeleted=deleted.agent_runtime_endpoint_id == second.agent_runtime_endpoint_id)
until(lambda: is_gone(lambda: client.get_endpoint(runtime_id, second.agent_runtime_endpoint_id)))

runtime.delete_and_wait_until_finished(interval_seconds=1)
report(gone=is_gone(lambda: client.get(runtime_id)))
