"""Leads generated calls to what is there, so that more than refusals is tried: identifiers of a path become those of
resources that exist, and a runtime to be created gets what the schema alone cannot ask for. Some stay as they were
generated. Reads RUNSTEAD_TEST_URL and RUNSTEAD_TEST_KEY."""

import itertools
import json
import os
import urllib.request

import schemathesis

BASE = os.environ["RUNSTEAD_TEST_URL"]
KEY = os.environ["RUNSTEAD_TEST_KEY"]
RUNTIMES = "/2025-09-10/agents/runtimes"
count = itertools.count(1)


def items(path):
    """What a list of the API has; nothing when it is refused."""
    request = urllib.request.Request(BASE + path, headers={"authorization": f"Bearer {KEY}"})
    try:
        with urllib.request.urlopen(request) as response:
            return json.load(response)["data"]["items"]
    except OSError:
        return []


def identified(case, number):
    parameters = case.path_parameters
    if "agentRuntimeId" not in parameters:
        return
    # The newest of each: those with a version first, as only these have endpoints.
    runtimes = sorted(items(f"{RUNTIMES}?pageSize=20"), key=lambda it: it["status"] != "READY")
    if not runtimes:
        return
    runtime = runtimes[number % min(len(runtimes), 5)]
    parameters["agentRuntimeId"] = runtime["agentRuntimeId"]
    if "agentRuntimeEndpointId" in parameters:
        endpoints = items(f"{RUNTIMES}/{runtime['agentRuntimeId']}/endpoints")
        if endpoints:
            parameters["agentRuntimeEndpointId"] = endpoints[number % len(endpoints)]["agentRuntimeEndpointId"]


def completed(case, number):
    body = case.body
    if not isinstance(body, dict):
        return
    # Names are taken only once; most calls are to get further than that.
    for field in ("agentRuntimeName", "agentRuntimeEndpointName", "name"):
        if isinstance(body.get(field), str):
            body[field] = f"{body[field][:100]}-{number}"
    if case.operation.label != f"POST {RUNTIMES}":
        return
    if body.get("artifactType") == "Container":
        body["containerConfiguration"] = {"image": "registry.test/agent:1"}
    else:
        body["codeConfiguration"] = {"ossBucketName": "packages", "ossObjectName": f"{number}.zip"}


@schemathesis.hook
def before_call(context, case, kwargs):
    number = next(count)
    if number % 4 == 0:
        return
    identified(case, number)
    completed(case, number)
    # The same few keys are generated again and again, and another body under one is refused.
    case.headers.pop("Idempotency-Key", None)
