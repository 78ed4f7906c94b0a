import type OpenAI from 'openai';

interface Tool {
  description: string;
  parameters: Record<string, unknown>;
  /** @param given what the model sent, which may be anything */
  run(given: Record<string, unknown>): string;
}

const tools: Record<string, Tool> = {
  word_count: {
    description: 'Counts the words of a text.',
    parameters: {
      type: 'object',
      properties: { text: { type: 'string', description: 'The text, without quotation marks' } },
      required: ['text'],
    },
    run({ text }) {
      if (typeof text !== 'string') throw new Error('text must be a string');
      return String(text.split(/\s+/).filter(Boolean).length);
    },
  },
};

export const toolDefinitions: OpenAI.ChatCompletionTool[] = Object.entries(tools).map(
  ([name, { description, parameters }]) => ({
    type: 'function',
    function: { name, description, parameters },
  }),
);

/** The tool's result; of one that fails the model is told, and may do better. */
export function runTool(name: string, json: string): string {
  try {
    const tool = tools[name];
    if (!tool) throw new Error(`there is no tool ${name}`);
    return tool.run(JSON.parse(json) as Record<string, unknown>);
  } catch (error) {
    return `Error: ${(error as Error).message}`;
  }
}
