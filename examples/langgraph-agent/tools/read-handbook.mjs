import { readFileSync } from 'node:fs';
import { tool } from '@langchain/core/tools';
import { z } from 'zod';

// Read once: a deployed version never changes, a changed handbook is a new version.
const sections = parseSections(readFileSync(new URL('../handbook.md', import.meta.url), 'utf8'));
const names = [...sections.keys()];

export const readHandbook = tool(
  ({ section }) => (section ? sections.get(section) : `Sections: ${names.join(', ')}.`),
  {
    name: 'read_handbook',
    description: "Returns one section of the shop's handbook, or the list of its sections.",
    schema: z.object({
      section: z.enum(names).optional().describe('Which section to read; leave it out for the list'),
    }),
  },
);

function parseSections(markdown) {
  const [, ...parts] = markdown.split(/^## /m);
  return new Map(
    parts.map((part) => {
      const [heading, ...lines] = part.split('\n');
      return [heading.trim().toLowerCase().replaceAll(' ', '-'), lines.join('\n').trim()];
    }),
  );
}
