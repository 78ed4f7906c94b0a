"""agentrun-sdk: what its users get to see when something is not as they think."""

import os
import sys
import uuid

from agentrun.agent_runtime import (
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeCreateInput,
    AgentRuntimeEndpointCreateInput,
    AgentRuntimeLanguage,
    AgentRuntimeListInput,
    AgentRuntimeUpdateInput,
)
from agentrun.utils.config import Config
from report import error_of, report

folder, runtime_id, name = sys.argv[1:]
client = AgentRuntimeClient()
absent = str(uuid.uuid4())


def create(**fields):
    code = AgentRuntimeCode.from_file(
        language=AgentRuntimeLanguage.NODEJS20, command=["node", "server.mjs"], file_path=folder
    )
    return client.create(AgentRuntimeCreateInput(code_configuration=code, **fields))


def invoke(endpoint, client=client, name=name):
    return client.invoke_openai(
        agent_runtime_name=name,
        agent_runtime_endpoint_name=endpoint,
        messages=[{"role": "user", "content": "hello"}],
        stream=False,
    )


def config(**fields):
    return Config(
        control_endpoint=os.environ["AGENTRUN_CONTROL_ENDPOINT"],
        data_endpoint=os.environ["AGENTRUN_DATA_ENDPOINT"],
        **fields,
    )


report(
    absent=error_of(lambda: client.get(absent)),
    deleteAbsent=error_of(lambda: client.delete(absent)),
    updateAbsent=error_of(lambda: client.update(absent, AgentRuntimeUpdateInput(description="x"))),
    absentEndpoint=error_of(lambda: client.get_endpoint(runtime_id, absent)),
    versionsOfAbsent=error_of(lambda: client.list_versions(absent)),
    duplicate=error_of(lambda: create(agent_runtime_name=name)),
    duplicateEndpoint=error_of(
        lambda: client.create_endpoint(
            runtime_id, AgentRuntimeEndpointCreateInput(agent_runtime_endpoint_name="Default")
        )
    ),
    malformedId=error_of(lambda: client.get("not-an-id")),
    invalid=error_of(lambda: create(agent_runtime_name="9 is no name", cpu=99)),
    invokeAbsent=error_of(lambda: invoke("Default", name="no-such-agent")),
    invokeAbsentEndpoint=error_of(lambda: invoke("none")),
    unknownWorkspace=error_of(lambda: client.list(AgentRuntimeListInput(workspace_name="no such place"))),
)

impostor = AgentRuntimeClient(config(access_key_secret="another"))
stranger = AgentRuntimeClient(config(access_key_id="nobody", access_key_secret="another"))
elsewhere = AgentRuntimeClient(config(region_id="eu-west-1"))
report(
    wrongSecret=error_of(lambda: impostor.get(runtime_id)),
    wrongSecretInvoke=error_of(lambda: invoke("Default", impostor)),
    unknownKey=error_of(lambda: stranger.get(runtime_id)),
    unknownKeyInvoke=error_of(lambda: invoke("Default", stranger)),
    otherRegion=elsewhere.get(runtime_id).agent_runtime_name,
    otherRegionInvoke=invoke("Default", elsewhere).choices[0].message.content,
    temporaryToken=AgentRuntimeClient(config(security_token="any")).get(runtime_id).agent_runtime_name,
)
