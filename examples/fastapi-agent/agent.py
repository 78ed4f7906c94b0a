import json

from errors import ModelError
from handbook import READ_HANDBOOK, read_handbook

TOOLS = {'read_handbook': (READ_HANDBOOK, read_handbook)}
# A model that asks for tools without end would otherwise cost without end.
MAX_STEPS = 10


class Agent:
    """Asks the model, runs the tools it asks for, and asks again until it answers without a tool."""

    def __init__(self, model, system_prompt):
        self._model = model
        self._system = {'role': 'system', 'content': system_prompt}

    async def answer(self, messages):
        """Yields the answer as OpenAI deltas while it is made. Closing the generator stops the run.

        The tool calls among them are for show: they have been run here. That is why the answer finishes with
        `stop`; `tool_calls` would ask the client to run them.
        """
        conversation = [self._system, *messages]
        definitions = [definition for definition, _ in TOOLS.values()]
        shown_calls = 0
        for _ in range(MAX_STEPS):
            content = ''
            calls = []
            async for delta in self._model.stream(conversation, definitions):
                if delta.get('content'):
                    content += delta['content']
                    yield {'content': delta['content']}
                for piece in delta.get('tool_calls') or []:
                    _merge(calls, piece)
                    # Every message of the model counts its calls from 0, the client sees one message.
                    yield {'tool_calls': [{**piece, 'index': shown_calls + piece['index']}]}
            if not calls:
                return
            shown_calls += len(calls)
            conversation.append({'role': 'assistant', 'content': content or None, 'tool_calls': calls})
            conversation.extend(_run_tool(call) for call in calls)
        raise ModelError('it asked for tools %d times in a row' % MAX_STEPS)


def _merge(calls, piece):
    """Adds one `tool_calls` entry of a delta to the calls put together so far."""
    if piece['index'] == len(calls):
        calls.append({'id': piece['id'], 'type': 'function', 'function': {'arguments': '', **piece['function']}})
    else:
        calls[piece['index']]['function']['arguments'] += piece['function'].get('arguments') or ''


def _run_tool(call):
    try:
        _, function = TOOLS[call['function']['name']]
        result = function(**json.loads(call['function']['arguments']))
    except Exception as error:  # the model is told, and may do better
        result = 'Error: %s: %s' % (type(error).__name__, error)
    return {'role': 'tool', 'tool_call_id': call['id'], 'content': str(result)}
