import json
import os
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import urlsplit

from errors import ModelError

# For one read: a model may think for a while before it says something.
READ_TIMEOUT_SECONDS = 120


def connect_model():
    """The model named by OPENAI_BASE_URL, OPENAI_API_KEY and MODEL_NAME, or the scripted one without them."""
    base_url = os.environ.get('OPENAI_BASE_URL')
    if base_url:
        name = os.environ.get('MODEL_NAME', 'gpt-4o-mini')
        return ChatModel(name, base_url, os.environ.get('OPENAI_API_KEY')), name
    # Imported only here, so that an agent with a real model can leave the file out.
    from offline_model import start_offline_model

    offline = start_offline_model()
    model = ChatModel('offline-model', offline.base_url)
    return model, 'the offline model, because OPENAI_BASE_URL is not set'


class ChatModel:
    def __init__(self, name, base_url, api_key=None):
        self._name = name
        self._url = urlsplit(base_url.rstrip('/'))
        self._headers = {'Content-Type': 'application/json'}
        if api_key:
            self._headers['Authorization'] = 'Bearer %s' % api_key

    def stream(self, messages, tools):
        """Yields the deltas of one completion. Closing the generator hangs up on the model."""
        body = {'model': self._name, 'stream': True, 'messages': messages, 'tools': tools}
        connection_class = HTTPSConnection if self._url.scheme == 'https' else HTTPConnection
        connection = connection_class(self._url.netloc, timeout=READ_TIMEOUT_SECONDS)
        try:
            connection.request('POST', self._url.path + '/chat/completions', json.dumps(body), self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise ModelError(_error_message(response), response.status)
            yield from _deltas(response)
        except (OSError, HTTPException) as error:
            raise ModelError(error) from error
        finally:
            connection.close()


def _deltas(response):
    for line in response:
        if not line.startswith(b'data:'):
            continue
        data = line[len(b'data:') :].strip()
        if data == b'[DONE]':
            return
        chunk = json.loads(data)
        if chunk.get('error'):
            raise ModelError(chunk['error'].get('message'))
        for choice in chunk['choices']:
            yield choice['delta']
    raise ModelError('its answer broke off')


def _error_message(response):
    text = response.read().decode('utf-8', 'replace')
    try:
        message = json.loads(text)['error']['message']
    except (ValueError, KeyError, TypeError):
        message = text[:200]
    return '%d %s' % (response.status, message)
