def word_count(text):
    return len(text.split())


WORD_COUNT = {
    'type': 'function',
    'function': {
        'name': 'word_count',
        'description': 'Counts the words of a text.',
        'parameters': {
            'type': 'object',
            'properties': {'text': {'type': 'string', 'description': 'The text, without quotation marks'}},
            'required': ['text'],
        },
    },
}
