"""agentrun-sdk: workspaces by their names, which it looks up itself."""

import sys

from agentrun.agent_runtime import (
    AgentRuntime,
    AgentRuntimeClient,
    AgentRuntimeCode,
    AgentRuntimeCreateInput,
    AgentRuntimeLanguage,
    AgentRuntimeListInput,
)
from agentrun.utils.config import Config
from agentrun.utils.control_api import ControlAPI
from alibabacloud_agentrun20250910 import models
from report import report

package, name = sys.argv[1:]
client = AgentRuntimeClient()
# The SDK has no calls that make them; this is how it looks them up.
control = ControlAPI(Config())._get_client()


def make_workspace(workspace):
    body = models.CreateWorkspaceInput(name=workspace)
    return control.create_workspace(models.CreateWorkspaceRequest(body=body)).body.data.workspace_id


def names(**filters):
    return [it.agent_runtime_name for it in client.list(AgentRuntimeListInput(**filters))]


first, second = f"{name}-w", f"{name}-w2"
first_id, second_id = make_workspace(first), make_workspace(second)
runtime = client.create(
    AgentRuntimeCreateInput(
        agent_runtime_name=name,
        workspace_name=first,
        code_configuration=AgentRuntimeCode.from_zip_file(
            language=AgentRuntimeLanguage.NODEJS20, command=["node", "server.mjs"], zip_file_path=package
        ),
        cpu=1,
        memory=512,
    )
)
runtime.wait_until_ready_or_failed(interval_seconds=1)
report(
    status=runtime.status,
    isInFirst=runtime.workspace_id == first_id,
    first=names(workspace_name=first),
    second=names(workspace_name=second),
    both=names(workspace_names=f"{first},{second}"),
    byId=names(workspace_id=first_id),
    byIds=names(workspace_ids=f"{second_id},{first_id}"),
    all=[it.agent_runtime_name for it in AgentRuntime.list_all(workspace_name=first)],
)
runtime.delete_and_wait_until_finished(interval_seconds=1)
control.delete_workspace(first_id)
control.delete_workspace(second_id)
