"""A scripted, OpenAI-compatible model: an agent that talks to it needs no network and no key, and hears the
same answer every time. script.json holds all it can say; offline-model.mjs reads the same script."""

import argparse
import json
import os
import re
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from urllib.parse import urlsplit

SCRIPT = json.loads(Path(__file__).with_name('script.json').read_text(encoding='utf-8'))
ROLES = ['system', 'developer', 'user', 'assistant', 'tool']
# Some patterns take time quadratic in the text, so a pasted book must not stall the process of the agent.
MAX_QUESTION_LENGTH = 2000
ARGUMENT_PIECE_LENGTH = 6
# ASCII, because \b and the like know only ASCII in the other reader of the script.
PATTERN_FLAGS = re.IGNORECASE | re.MULTILINE | re.ASCII


class OfflineModel:
    """Serves POST {base_url}/chat/completions and GET {base_url}/models in daemon threads until close()."""

    def __init__(self, port, host, token_delay_ms):
        self._server = _Server((host, port), _Handler)
        self._server.token_delay_seconds = token_delay_ms / 1000
        self.base_url = 'http://%s:%d/v1' % (host, self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def wait(self):
        self._thread.join()


def start_offline_model(port=0, host='127.0.0.1', token_delay_ms=None):
    """token_delay_ms is the pause before each token of a stream; 0 means none."""
    if token_delay_ms is None:
        token_delay_ms = float(os.environ.get('OFFLINE_MODEL_TOKEN_DELAY_MS', 15))
    return OfflineModel(port, host, token_delay_ms)


# --- What the model says -------------------------------------------------------------------------------


def _reply(body):
    messages = body['messages']
    users = [position for position, message in enumerate(messages) if message['role'] == 'user']
    last_user = users[-1] if users else -1
    question = _text_of(messages[last_user])[:MAX_QUESTION_LENGTH] if users else ''
    made = _calls_made(messages[last_user + 1 :])
    tools = [] if body.get('tool_choice') == 'none' else body.get('tools') or []
    offered = [tool.get('function', {}).get('name') for tool in tools]
    asked = [(name, arguments) for name, arguments, _ in made]
    still_open = [call for call in _calls_wanted(question, offered) if call not in asked]
    if still_open:
        return None, still_open[:1] if body.get('parallel_tool_calls') is False else still_open
    answer = ' '.join(_describe_result(*call) for call in made) if made else _plain_answer(question)
    return _sign(answer, messages), []


def _calls_wanted(question, offered):
    wanted = []
    for name, tool in SCRIPT['tools'].items():
        if name not in offered:
            continue
        for rule in tool['ask']:
            for match in re.finditer(rule['pattern'], question, PATTERN_FLAGS):
                call = (name, {key: _fill(value, _groups(match)) for key, value in rule['arguments'].items()})
                if call not in wanted:
                    wanted.append(call)
    return wanted


def _calls_made(messages):
    results = {m['tool_call_id']: _text_of(m) for m in messages if m['role'] == 'tool'}
    calls = [call for message in messages for call in message.get('tool_calls') or []]
    return [
        (
            call['function']['name'],
            json.loads(call['function']['arguments']),
            re.sub('[ \t\r\n]+', ' ', results[call['id']]),
        )
        for call in calls
    ]


def _describe_result(name, arguments, result):
    failed = re.search(SCRIPT['failedTool']['pattern'], result, PATTERN_FLAGS)
    if failed:
        return _fill(SCRIPT['failedTool']['answer'], {**_groups(failed), 'tool': name})
    template = SCRIPT['tools'].get(name, {}).get('answer', SCRIPT['unknownTool'])
    return _fill(template, {**arguments, 'tool': name, 'result': result})


def _plain_answer(question):
    for rule in SCRIPT['answers']:
        if re.search(rule['pattern'], question, PATTERN_FLAGS):
            return rule['answer']
    return _fill(SCRIPT['otherwise'], {'question': question})


def _sign(answer, messages):
    """Makes a changed system prompt visible in the answers."""
    system = '\n'.join(_text_of(m) for m in messages if m['role'] in ('system', 'developer'))
    signature = re.search(SCRIPT['signature'], system, PATTERN_FLAGS)
    return '%s %s' % (answer, signature[1].strip()) if signature else answer


def _fill(template, values):
    return re.sub(r'\{([a-z0-9]+)\}', lambda match: str(values.get(match[1], '')), template)


def _groups(match):
    return {str(number): text for number, text in enumerate(match.groups(), start=1)}


def _text_of(message):
    content = message.get('content') or []
    parts = [{'type': 'text', 'text': content}] if isinstance(content, str) else content
    return '\n'.join(part['text'] for part in parts if part['type'] == 'text').strip()


# --- How it is said over HTTP --------------------------------------------------------------------------


class _ApiError(Exception):
    def __init__(self, status, message, param=None, code=None, headers=None):
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        kind = 'invalid_request_error' if status < 500 else 'server_error'
        self.body = {'error': {'message': message, 'type': kind, 'param': param, 'code': code}}


class _Server(ThreadingTCPServer):
    """Not http.server's own: that one looks up its host's name, which takes seconds without a network."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client may hang up at any time
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True  # a token goes out when it is there, not with the next one

    def _route(self):
        path = urlsplit(self.path).path
        routes = {
            '/v1/chat/completions': ('POST', self._serve_completion),
            '/v1/models': ('GET', self._serve_models),
        }
        try:
            # Read even when refused: what is left of a body would be taken for the next request.
            raw = self._read_body()
            if path not in routes:
                raise _ApiError(404, 'There is no %s here.' % path, code='not_found')
            method, serve = routes[path]
            if self.command != method:
                message = '%s takes %s, not %s.' % (path, method, self.command)
                raise _ApiError(405, message, code='method_not_allowed', headers={'Allow': method})
            serve(raw)
        except _ApiError as error:
            self._send_json(error.status, error.body, error.headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _route

    def log_message(self, *_):
        pass  # the log belongs to the agent

    def _serve_models(self, _raw):
        model = {'id': SCRIPT['model'], 'object': 'model', 'created': 0, 'owned_by': 'offline'}
        self._send_json(200, {'object': 'list', 'data': [model]})

    def _serve_completion(self, raw):
        body = _parse(raw)
        messages = body['messages']
        content, tool_calls = _reply(body)
        calls = [
            {
                # The length of the conversation makes an id unique in it, and the same in every run.
                'id': 'call_%d_%d' % (len(messages), index),
                'type': 'function',
                'function': {'name': name, 'arguments': _to_json(arguments)},
            }
            for index, (name, arguments) in enumerate(tool_calls)
        ]
        deltas = list(_deltas_of(content, calls))
        completion = {
            'id': 'chatcmpl-%s' % uuid.uuid4(),
            'created': int(time.time()),
            'model': body.get('model') or SCRIPT['model'],
        }
        finish_reason = 'tool_calls' if calls else 'stop'
        usage = _usage_of(messages, len(deltas) - 1)
        if body.get('stream'):
            include_usage = (body.get('stream_options') or {}).get('include_usage') is True
            self._stream(completion, deltas, finish_reason, usage if include_usage else None)
            return
        message = {'role': 'assistant', 'content': content}
        if calls:
            message['tool_calls'] = calls
        choice = {'index': 0, 'message': message, 'finish_reason': finish_reason}
        self._send_json(200, {**completion, 'object': 'chat.completion', 'choices': [choice], 'usage': usage})

    def _stream(self, completion, deltas, finish_reason, usage):
        # Like the original: with usage asked for, every chunk has the field, and only the last one a value.
        no_usage = {} if usage is None else {'usage': None}

        def send(choices, fields):
            chunk = {**completion, 'object': 'chat.completion.chunk', 'choices': choices, **fields}
            self._write_chunk('data: %s\n\n' % _to_json(chunk))

        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Cache-Control', 'no-cache')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for position, delta in enumerate(deltas):
            if position > 0:
                time.sleep(self.server.token_delay_seconds)
            send([{'index': 0, 'delta': delta, 'finish_reason': None}], no_usage)
        send([{'index': 0, 'delta': {}, 'finish_reason': finish_reason}], no_usage)
        if usage is not None:
            send([], {'usage': usage})
        self._write_chunk('data: [DONE]\n\n')
        self.wfile.write(b'0\r\n\r\n')

    def _write_chunk(self, text):
        data = text.encode('utf-8')
        self.wfile.write(b'%x\r\n%s\r\n' % (len(data), data))

    def _read_body(self):
        if self.headers.get('Transfer-Encoding'):
            self.close_connection = True
            raise _ApiError(411, 'The body must come with a Content-Length.', headers={'Connection': 'close'})
        return self.rfile.read(int(self.headers.get('Content-Length', 0)))

    def _send_json(self, status, body, headers=None):
        data = _to_json(body).encode('utf-8')
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


def _deltas_of(content, calls):
    yield {'role': 'assistant', 'content': None if content is None else ''}
    for token in re.findall('[^ ]+ *| +', content or ''):
        yield {'content': token}
    for index, call in enumerate(calls):
        arguments = call['function']['arguments']
        yield {'tool_calls': [{**call, 'index': index, 'function': {**call['function'], 'arguments': ''}}]}
        for start in range(0, len(arguments), ARGUMENT_PIECE_LENGTH):
            piece = arguments[start : start + ARGUMENT_PIECE_LENGTH]
            yield {'tool_calls': [{'index': index, 'function': {'arguments': piece}}]}


def _usage_of(messages, completion_tokens):
    """A word counts as a token: no tokenizer is worth a dependency here."""
    words = sum(len(re.findall('[^ ]+', _text_of(message))) for message in messages)
    return {
        'prompt_tokens': words,
        'completion_tokens': completion_tokens,
        'total_tokens': words + completion_tokens,
    }


def _parse(raw):
    try:
        body = json.loads(raw)
    except ValueError:
        raise _ApiError(400, 'The body is not valid JSON.') from None
    _check_messages(body.get('messages') if isinstance(body, dict) else None)
    return body


def _check_messages(messages):
    """As strict as the real API about tool calls, so that an agent's mistake shows before it meets that."""

    def refuse(message):
        raise _ApiError(400, message, param='messages')

    if not isinstance(messages, list) or not messages:
        refuse('messages must be a non-empty array.')
    unanswered = set()
    for position, message in enumerate(messages):
        at = 'messages[%d]' % position
        role = message.get('role') if isinstance(message, dict) else None
        if role not in ROLES:
            refuse('The role of %s must be one of %s.' % (at, ', '.join(ROLES)))
        if not _is_content(message.get('content')):
            refuse('The content of %s must be a text or a list of parts.' % at)
        if role == 'tool':
            if message.get('tool_call_id') not in unanswered:
                refuse('%s answers no tool call before it.' % at)
            unanswered.remove(message['tool_call_id'])
        elif unanswered:
            refuse('%s comes before every tool call is answered.' % at)
        for call in message.get('tool_calls') or []:
            if not _has_json_arguments(call):
                refuse('A tool call of %s has no JSON arguments.' % at)
            unanswered.add(call.get('id'))
    if unanswered:
        refuse('The last tool calls are not answered.')


def _is_content(content):
    if content is None or isinstance(content, str):
        return True
    return isinstance(content, list) and all(
        isinstance(part, dict) and isinstance(part.get('type'), str) for part in content
    )


def _has_json_arguments(call):
    try:
        return isinstance(json.loads(call['function']['arguments']), dict)
    except (KeyError, TypeError, ValueError):
        return False


def _to_json(value):
    return json.dumps(value, ensure_ascii=False, separators=(',', ':'))


# --- Run by itself: python3 offline_model.py [--port N] ------------------------------------------------

if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='A scripted, OpenAI-compatible model.')
    parser.add_argument('--port', type=int, default=0)
    offline = start_offline_model(parser.parse_args().port)
    print('The offline model answers at %s' % offline.base_url, flush=True)
    try:
        offline.wait()
    except KeyboardInterrupt:
        offline.close()
