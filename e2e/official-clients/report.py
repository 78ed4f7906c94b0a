"""What the scripts say to the test: one JSON object a line."""

import json
import time
from enum import Enum


def report(**values):
    print(json.dumps(values, default=lambda it: it.value if isinstance(it, Enum) else str(it)), flush=True)


def until(condition):
    """Polls; the test that runs the script bounds the time."""
    while not condition():
        time.sleep(0.2)


def error_of(call):
    """The error as the SDK's users see it, or None."""
    try:
        call()
    except Exception as error:  # Which one it is, is the question.
        return {
            "type": type(error).__name__,
            "message": str(error),
            "status": getattr(error, "status_code", None),
            "requestId": getattr(error, "request_id", None),
        }
    return None
