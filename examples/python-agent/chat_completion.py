"""The OpenAI chat completion protocol: a request in, an answer in one piece or as chunks out."""

import json
import time
import uuid

from errors import BadRequest

ROLES = ('system', 'developer', 'user', 'assistant', 'tool')


def parse_chat_request(raw):
    """Returns (model or None, stream, messages ready for the agent). All else a client may send (temperature,
    max_tokens, tools ...) is ignored: that is for the agent to decide."""
    try:
        body = json.loads(raw)
    except ValueError:
        raise BadRequest('The body is not valid JSON.') from None
    messages = body.get('messages') if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages:
        raise BadRequest('messages must be a non-empty array.', 'messages')
    for position, message in enumerate(messages):
        if not isinstance(message, dict) or message.get('role') not in ROLES:
            raise BadRequest('messages.%d.role must be one of %s.' % (position, ', '.join(ROLES)), 'messages')
        if not isinstance(message.get('content'), (str, list, type(None))):
            raise BadRequest('messages.%d.content must be a text or a list of parts.' % position, 'messages')
    return body.get('model'), bool(body.get('stream')), _spoken(messages)


def _spoken(messages):
    """A client sends an earlier answer back with the tool calls it saw in it. It never saw their results, and
    a model refuses calls without results, so only what was said is kept."""
    return [
        {'role': message['role'], 'content': message['content']}
        for message in messages
        if message['role'] != 'tool' and message.get('content')
    ]


def to_completion(model, deltas):
    """The same message a client puts together from the chunks."""
    message = {'role': 'assistant', 'content': ''}
    calls = []
    for delta in deltas:
        message['content'] += delta.get('content', '')
        for piece in delta.get('tool_calls', []):
            merge_call(calls, piece)
    if calls:
        message['tool_calls'] = calls
    choice = {'index': 0, 'message': message, 'finish_reason': 'stop'}
    return {**_head('chat.completion', model), 'choices': [choice]}


def to_chunks(model, deltas):
    head = _head('chat.completion.chunk', model)

    def chunk(delta, finish_reason=None):
        return {**head, 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish_reason}]}

    yield chunk({'role': 'assistant', 'content': ''})
    for delta in deltas:
        yield chunk(delta)
    yield chunk({}, 'stop')


def merge_call(calls, piece):
    """Adds one `tool_calls` entry of a delta to the calls put together so far."""
    if piece['index'] == len(calls):
        function = {'arguments': '', **piece['function']}
        calls.append({'id': piece['id'], 'type': 'function', 'function': function})
    else:
        calls[piece['index']]['function']['arguments'] += piece['function'].get('arguments') or ''


def _head(kind, model):
    return {'id': 'chatcmpl-%s' % uuid.uuid4(), 'object': kind, 'created': int(time.time()), 'model': model}
