"""The front door: an OpenAI-compatible server in front of the agent. Start reading here, then agent.py."""

import json
import os
import signal
import time
import traceback
from contextlib import closing
from itertools import chain, islice
from pathlib import Path
from urllib.parse import urlsplit

from agent import Agent
from chat_completion import parse_chat_request, to_chunks, to_completion
from chat_model import connect_model
from errors import BadRequest, ChatError, NotFound
from http_server import Handler, Server

NAME = 'python-agent'  # the model a client sees
STARTED_AT = int(time.time())


def main():
    model, description = connect_model()
    prompt = os.environ.get('SYSTEM_PROMPT')
    if prompt is None:
        prompt = Path(__file__).with_name('prompt.md').read_text(encoding='utf-8')
    server = Server(('0.0.0.0', int(os.environ.get('PORT', 9000))), ChatHandler)
    server.agent = Agent(model, prompt)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stopping.set())
    print('The agent listens on port %d and asks %s.' % (server.server_address[1], description), flush=True)
    server.run_until_stopping()


class ChatHandler(Handler):
    def respond(self):
        routes = {
            'GET /health': self._health,
            'GET /openai/v1/models': self._models,
            'POST /openai/v1/chat/completions': self._chat_completions,
        }
        try:
            body = self.read_body()
            asked = '%s %s' % (self.command, urlsplit(self.path).path)
            if asked not in routes:
                raise NotFound('There is no %s here.' % asked)
            routes[asked](body)
        except ConnectionError:
            raise  # nobody is left to read an answer
        except Exception as error:
            reported = report(error)
            self.send_json(reported.status, reported.body())

    def _health(self, _body):
        self.send_json(200, {'status': 'ok'})

    def _models(self, _body):
        model = {'id': NAME, 'object': 'model', 'created': STARTED_AT, 'owned_by': NAME}
        self.send_json(200, {'object': 'list', 'data': [model]})

    def _chat_completions(self, body):
        model, stream, messages = parse_chat_request(body)
        with closing(self.server.agent.answer(messages)) as answer:
            deltas = self._until_hang_up(answer)
            if stream:
                self._stream(model or NAME, deltas)
            else:
                self.send_json(200, to_completion(model or NAME, deltas))

    def _until_hang_up(self, deltas):
        """A client that is gone is noticed with the next delta, and then the run ends."""
        for delta in deltas:
            if self.has_hung_up():
                raise ConnectionAbortedError
            yield delta

    def _stream(self, model, deltas):
        # Waited for before the status goes out, because an error up to here can still become one.
        first = list(islice(deltas, 1))
        self.start_events()
        try:
            for chunk in to_chunks(model, chain(first, deltas)):
                self.send_event(json.dumps(chunk, ensure_ascii=False))
            self.send_event('[DONE]')
        except ConnectionError:
            raise
        except Exception as error:
            self.send_event(json.dumps(report(error).body()))
        self.end_events()


def report(error):
    """The error as the caller sees it; what is not the caller's doing goes to the log."""
    if not isinstance(error, (BadRequest, NotFound)):
        traceback.print_exception(type(error), error, error.__traceback__)
    return error if isinstance(error, ChatError) else ChatError(str(error))


if __name__ == '__main__':
    main()
