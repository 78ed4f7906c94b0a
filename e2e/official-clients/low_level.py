"""alibabacloud-agentrun20250910: the generated client under the SDK, and what it alone has calls for."""

import base64
import io
import os
import sys
import zipfile

import requests
from alibabacloud_agentrun20250910 import models
from alibabacloud_agentrun20250910.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from report import error_of, report, until

folder, name = sys.argv[1:]
endpoint = os.environ["AGENTRUN_CONTROL_ENDPOINT"].removeprefix("https://")
client = Client(
    Config(
        access_key_id=os.environ["AGENTRUN_ACCESS_KEY_ID"],
        access_key_secret=os.environ["AGENTRUN_ACCESS_KEY_SECRET"],
        region_id=os.environ["AGENTRUN_REGION"],
        endpoint=endpoint,
    )
)


def zip_of(folder):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for entry in os.listdir(folder):
            archive.write(os.path.join(folder, entry), entry)
    return base64.b64encode(data.getvalue()).decode()


def settled(runtime_id):
    def is_settled():
        return client.get_agent_runtime(runtime_id, models.GetAgentRuntimeRequest()).body.data.status in (
            "READY",
            "CREATE_FAILED",
            "UPDATE_FAILED",
        )

    until(is_settled)
    return client.get_agent_runtime(runtime_id, models.GetAgentRuntimeRequest()).body.data


created = client.create_agent_runtime(
    models.CreateAgentRuntimeRequest(
        body=models.CreateAgentRuntimeInput(
            agent_runtime_name=name,
            artifact_type="Code",
            code_configuration=models.CodeConfiguration(
                zip_file=zip_of(folder), language="nodejs20", command=["node", "server.mjs"]
            ),
            cpu=1,
            memory=512,
            port=9000,
            network_configuration=models.NetworkConfiguration(network_mode="PUBLIC"),
        )
    )
)
runtime_id = created.body.data.agent_runtime_id
report(httpStatus=created.status_code, code=created.body.code, requestId=bool(created.body.request_id))
report(status=settled(runtime_id).status)

updated = client.update_agent_runtime(
    runtime_id,
    models.UpdateAgentRuntimeRequest(
        body=models.UpdateAgentRuntimeInput(
            description="a+b ~c/*", cpu=1, environment_variables={"GREETING": "good day"}
        )
    ),
)
report(updating=updated.body.data.status, updated=settled(runtime_id).description)

page = client.list_agent_runtimes(
    models.ListAgentRuntimesRequest(agent_runtime_name=name, search_mode="exact", page_number=1, page_size=50)
).body.data
report(total=page.total, pageSize=page.page_size, names=[it.agent_runtime_name for it in page.items])
odd = client.list_agent_runtimes(
    models.ListAgentRuntimesRequest(agent_runtime_name="a+b ~c/*%2B&d=e 中", status="READY,CREATING")
)
report(oddTotal=odd.body.data.total)

published = client.publish_runtime_version(
    runtime_id,
    models.PublishRuntimeVersionRequest(body=models.PublishRuntimeVersionInput(description="one more")),
).body.data
version = client.get_agent_runtime(
    runtime_id, models.GetAgentRuntimeRequest(agent_runtime_version=published.agent_runtime_version)
).body.data
report(published=published.agent_runtime_version, snapshot=version.agent_runtime_version)
report(
    versions=sorted(
        it.agent_runtime_version
        for it in client.list_agent_runtime_versions(
            runtime_id, models.ListAgentRuntimeVersionsRequest(page_number=1, page_size=50)
        ).body.data.items
    )
)

made = client.create_agent_runtime_endpoint(
    runtime_id,
    models.CreateAgentRuntimeEndpointRequest(
        body=models.CreateAgentRuntimeEndpointInput(
            agent_runtime_endpoint_name="pinned",
            target_version="1",
            routing_configuration=models.RoutingConfiguration(
                version_weights=[models.VersionWeight(version=published.agent_runtime_version, weight=0.5)]
            ),
        )
    ),
).body.data
endpoint_id = made.agent_runtime_endpoint_id


def endpoint_status():
    return client.get_agent_runtime_endpoint(runtime_id, endpoint_id).body.data.status


until(lambda: endpoint_status() in ("READY", "CREATE_FAILED"))
report(
    endpoint=endpoint_status(),
    endpoints=client.list_agent_runtime_endpoints(
        runtime_id, models.ListAgentRuntimeEndpointsRequest(page_number=1, page_size=50)
    ).body.data.total,
)

token = client.get_access_token(
    models.GetAccessTokenRequest(resource_type="runtime", resource_name=name)
).body.data.access_token
url = f"{os.environ['AGENTRUN_DATA_ENDPOINT']}/agent-runtimes/{name}/endpoints/pinned/invocations/openai/v1/chat/completions"
question = {"model": name, "messages": [{"role": "user", "content": "token"}]}


def call(**headers):
    answer = requests.post(url, json=question, headers=headers, timeout=60)
    return [answer.status_code, answer.json().get("choices", [{}])[0].get("message", {}).get("content")]


report(
    withToken=call(**{"Agentrun-Access-Token": token}),
    withTokenAndEmptyBearer=call(**{"Agentrun-Access-Token": token, "Authorization": "Bearer "}),
    withEmptyToken=call(**{"Agentrun-Access-Token": "", "Authorization": "Bearer "}),
    withWrongToken=call(**{"Agentrun-Access-Token": token[:-2]}),
)

workspaces = client.list_workspaces(
    models.ListWorkspacesRequest(page_number="1", page_size="50")
).body.data
default = next(it for it in workspaces.workspaces if it.is_default)
space = client.create_workspace(
    models.CreateWorkspaceRequest(body=models.CreateWorkspaceInput(name=f"{name}-space", description="d"))
).body.data
report(
    workspaceOfRuntime=settled(runtime_id).workspace_id == default.workspace_id,
    workspace=client.get_workspace(space.workspace_id).body.data.name,
    duplicateWorkspace=error_of(
        lambda: client.create_workspace(
            models.CreateWorkspaceRequest(body=models.CreateWorkspaceInput(name=f"{name}-space"))
        )
    ),
)
client.delete_workspace(space.workspace_id)

report(endpointDeleted=client.delete_agent_runtime_endpoint(runtime_id, endpoint_id).body.code)
deleted = client.delete_agent_runtime(runtime_id)
report(deleted=deleted.body.data.agent_runtime_id == runtime_id, deletedStatus=deleted.status_code)


def is_gone():
    error = error_of(lambda: client.get_agent_runtime(runtime_id, models.GetAgentRuntimeRequest()))
    return error is not None and error["status"] == 404


until(is_gone)
report(gone=True)
