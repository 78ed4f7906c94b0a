class ChatError(Exception):
    """An error as an OpenAI client reads it."""

    status = 500
    type = 'server_error'
    code = 'agent_error'
    param = None

    def body(self):
        fields = {'message': str(self), 'type': self.type, 'param': self.param, 'code': self.code}
        return {'error': fields}


class BadRequest(ChatError):
    status = 400
    type = 'invalid_request_error'
    code = None

    def __init__(self, message, param=None):
        super().__init__(message)
        self.param = param


class NotFound(ChatError):
    status = 404
    type = 'invalid_request_error'
    code = 'not_found'


class ModelError(ChatError):
    """What the model refuses is not the caller's doing, but a caller who knows of the limit can try later."""

    status = 502
    code = 'model_error'

    def __init__(self, message, model_status=None):
        super().__init__('The model failed: %s' % message)
        if model_status == 429:
            self.status, self.type, self.code = 429, 'rate_limit_error', 'model_rate_limit'
