import json
import os

import httpx
from errors import ModelError

# For one read: a model may think for a while before it says something.
READ_TIMEOUT_SECONDS = 120


def connect_model():
    """The model named by OPENAI_BASE_URL, OPENAI_API_KEY and MODEL_NAME, or the scripted one without them."""
    base_url = os.environ.get('OPENAI_BASE_URL')
    if base_url:
        name = os.environ.get('MODEL_NAME', 'gpt-4o-mini')
        return Model(name, base_url, os.environ.get('OPENAI_API_KEY')), name
    # Imported only here, so that an agent with a real model can leave the file out.
    from offline_model import start_offline_model

    offline = start_offline_model()
    return Model('offline-model', offline.base_url), 'the offline model, because OPENAI_BASE_URL is not set'


class Model:
    def __init__(self, name, base_url, api_key=None):
        self._name = name
        headers = {'Authorization': 'Bearer %s' % api_key} if api_key else {}
        self._client = httpx.AsyncClient(
            base_url=base_url, headers=headers, timeout=httpx.Timeout(10, read=READ_TIMEOUT_SECONDS)
        )

    async def stream(self, messages, tools):
        """Yields the deltas of one completion. Closing the generator hangs up on the model."""
        body = {'model': self._name, 'stream': True, 'messages': messages, 'tools': tools}
        try:
            async with self._client.stream('POST', 'chat/completions', json=body) as response:
                if response.status_code != 200:
                    raise ModelError(_message(await response.aread(), response), response.status_code)
                async for line in response.aiter_lines():
                    if not line.startswith('data:'):
                        continue
                    data = line[len('data:') :].strip()
                    if data == '[DONE]':
                        return
                    chunk = json.loads(data)
                    if chunk.get('error'):
                        raise ModelError(chunk['error'].get('message'))
                    for choice in chunk['choices']:
                        yield choice['delta']
            raise ModelError('its answer broke off')
        except httpx.HTTPError as error:
            raise ModelError(str(error) or type(error).__name__) from error

    async def close(self):
        await self._client.aclose()


def _message(raw, response):
    try:
        message = json.loads(raw)['error']['message']
    except (ValueError, KeyError, TypeError):
        message = raw.decode('utf-8', 'replace')[:200]
    return '%d %s' % (response.status_code, message)
