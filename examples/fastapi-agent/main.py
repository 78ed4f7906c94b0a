"""The front door: an OpenAI-compatible server in front of the agent. Start reading here, then agent.py."""

import json
import os
import signal
import sys
import time
import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from agent import Agent
from errors import BadRequest, ChatError, NotFound
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from model import connect_model
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

NAME = 'fastapi-agent'  # the model a client sees
STARTED_AT = int(time.time())


class Message(BaseModel):
    role: str = Field(pattern='^(system|developer|user|assistant|tool)$')
    content: str | list[dict] | None = None


class ChatRequest(BaseModel):
    """All else a client may send (temperature, max_tokens, tools ...) is ignored: that is for the agent to decide."""

    model: str | None = None
    stream: bool | None = False
    messages: list[Message] = Field(min_length=1)

    def spoken(self):
        """A client sends an earlier answer back with the tool calls it saw in it. It never saw their results, and
        a model refuses calls without results, so only what was said is kept."""
        return [
            {'role': message.role, 'content': message.content}
            for message in self.messages
            if message.role != 'tool' and message.content
        ]


@asynccontextmanager
async def lifespan(app):
    model, description = connect_model()
    prompt = os.environ.get('SYSTEM_PROMPT')
    if prompt is None:
        prompt = Path(__file__).with_name('prompt.md').read_text(encoding='utf-8')
    app.state.agent = Agent(model, prompt)
    app.state.asks = description
    yield
    await model.close()


app = FastAPI(title=NAME, lifespan=lifespan)


@app.get('/health')
async def health():
    return {'status': 'ok'}


@app.get('/openai/v1/models')
async def models():
    return {
        'object': 'list',
        'data': [{'id': NAME, 'object': 'model', 'created': STARTED_AT, 'owned_by': NAME}],
    }


@app.post('/openai/v1/chat/completions')
async def chat_completions(body: ChatRequest):
    name = body.model or NAME
    deltas = app.state.agent.answer(body.spoken())
    if not body.stream:
        return await to_completion(name, deltas)
    # Waited for before the status goes out, because an error up to here can still become one.
    first = await anext(deltas, None)
    return StreamingResponse(events(name, first, deltas), media_type='text/event-stream')


async def events(model, first, deltas):
    """The answer as server-sent events. A client that hangs up cancels this, and with it the call to the model."""
    head = head_of('chat.completion.chunk', model)

    def chunk(delta, finish_reason=None):
        choice = {'index': 0, 'delta': delta, 'finish_reason': finish_reason}
        return event({**head, 'choices': [choice]})

    try:
        yield chunk({'role': 'assistant', 'content': ''})
        if first is not None:
            yield chunk(first)
        async for delta in deltas:
            yield chunk(delta)
        yield chunk({}, 'stop')
        yield 'data: [DONE]\n\n'
    except ChatError as error:
        yield event(error.body())
    finally:
        await deltas.aclose()


def event(data):
    return 'data: %s\n\n' % json.dumps(data, ensure_ascii=False)


async def to_completion(model, deltas):
    """The same message a client puts together from the stream."""
    message = {'role': 'assistant', 'content': ''}
    calls = {}
    async for delta in deltas:
        message['content'] += delta.get('content') or ''
        for piece in delta.get('tool_calls') or []:
            known = calls.setdefault(piece['index'], {'type': 'function', 'function': {'arguments': ''}})
            if 'id' in piece:
                known['id'] = piece['id']
                known['function']['name'] = piece['function']['name']
            known['function']['arguments'] += piece['function'].get('arguments') or ''
    if calls:
        message['tool_calls'] = list(calls.values())
    choice = {'index': 0, 'message': message, 'finish_reason': 'stop'}
    return {**head_of('chat.completion', model), 'choices': [choice]}


def head_of(kind, model):
    return {'id': 'chatcmpl-%s' % uuid.uuid4(), 'object': kind, 'created': int(time.time()), 'model': model}


@app.exception_handler(ChatError)
async def on_chat_error(_request: Request, error: ChatError):
    return JSONResponse(error.body(), error.status)


@app.exception_handler(RequestValidationError)
async def on_invalid(request: Request, error: RequestValidationError):
    first = error.errors()[0]
    # The place begins with 'body', and of what is no JSON it goes on with a position.
    place = [str(part) for part in first['loc'][1:]]
    if first['type'] == 'json_invalid':
        return await on_chat_error(request, BadRequest('The body is not valid JSON.'))
    message = '%s: %s' % ('.'.join(place) or 'body', first['msg'])
    return await on_chat_error(request, BadRequest(message, place[0] if place else None))


@app.exception_handler(HTTPException)
async def on_unknown(request: Request, _error: HTTPException):
    return await on_chat_error(
        request, NotFound('There is no %s %s here.' % (request.method, request.url.path))
    )


class Server(uvicorn.Server):
    """Says where it listens once it does, also when the port was left to the system."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        if self.servers:
            port = self.servers[0].sockets[0].getsockname()[1]
            print('The agent listens on port %d and asks %s.' % (port, app.state.asks), flush=True)


def main():
    # uvicorn finishes the open answers and then sends itself the signal once more; that is no way to end well.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    port = int(os.environ.get('PORT', 9000))
    Server(uvicorn.Config(app, host='0.0.0.0', port=port, log_level='warning')).run()


if __name__ == '__main__':
    main()
