import { z } from 'zod';

/** A token with which the data plane can be called (contract: GetAccessToken). */

/** What clients of the contract ask tokens for. */
export const AccessTokenResourceType = z.enum([
  'runtime',
  'sandbox',
  'tool',
  'template',
  'litellm',
  'knowledgebase',
]);

const named = (description: string) =>
  z
    .string()
    .optional()
    .meta({ parameter: { description, schema: { type: 'string' } } });

export const GetAccessTokenQuery = z.object({
  resourceId: named('The id of what is to be called; this or resourceName.'),
  resourceName: named('The name of what is to be called; this or resourceId.'),
  resourceType: AccessTokenResourceType.optional().meta({
    parameter: {
      description: 'Here only runtimes can be called.',
      schema: { type: 'string', enum: AccessTokenResourceType.options },
    },
  }),
});

export const AccessToken = z.object({ accessToken: z.string().optional() }).meta({ id: 'AccessToken' });

export type GetAccessTokenQuery = z.infer<typeof GetAccessTokenQuery>;
export type AccessToken = z.infer<typeof AccessToken>;
