from pathlib import Path


def _sections(markdown):
    parts = markdown.split('\n## ')[1:]
    headed = (part.split('\n', 1) for part in parts)
    return {heading.strip().lower().replace(' ', '-'): text.strip() for heading, text in headed}


# Read once: a deployed version never changes, a changed handbook is a new version.
SECTIONS = _sections(Path(__file__).with_name('handbook.md').read_text(encoding='utf-8'))


def read_handbook(section=None):
    if section is None:
        return 'Sections: %s.' % ', '.join(SECTIONS)
    if section not in SECTIONS:
        raise ValueError('there is no section %s; sections: %s' % (section, ', '.join(SECTIONS)))
    return SECTIONS[section]


READ_HANDBOOK = {
    'type': 'function',
    'function': {
        'name': 'read_handbook',
        'description': "Returns one section of the shop's handbook, or the list of its sections.",
        'parameters': {
            'type': 'object',
            'properties': {
                'section': {
                    'type': 'string',
                    'enum': list(SECTIONS),
                    'description': 'Which section to read; leave it out for the list',
                }
            },
        },
    },
}
