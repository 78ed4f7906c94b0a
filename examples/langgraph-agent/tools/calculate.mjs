import { tool } from '@langchain/core/tools';
import { z } from 'zod';
import { evaluate } from './arithmetic.mjs';

export const calculate = tool(({ expression }) => String(evaluate(expression)), {
  name: 'calculate',
  description: 'Works out an arithmetic expression with + - * / % ^ and parentheses, and returns the number.',
  schema: z.object({
    expression: z.string().describe('The expression, for example "12 * (3 + 4)"'),
  }),
});
