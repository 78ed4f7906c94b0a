import { readFile } from 'node:fs/promises';
import { buildOpenApiDocument } from '@runstead/contract';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

/** The API's reference: a page, and the document it shows. Everything comes from this server. */

const ASSETS = new URL('../../assets/docs/', import.meta.url);

/** Path → file of the assets and its type. */
const FILES: Record<string, { file: string; type: string; keptSeconds: number }> = {
  '/docs': { file: 'index.html', type: 'text/html; charset=utf-8', keptSeconds: 0 },
  '/docs/start.js': { file: 'start.js', type: 'text/javascript; charset=utf-8', keptSeconds: 0 },
  '/docs/swagger-ui.css': {
    file: 'swagger-ui/swagger-ui.css',
    type: 'text/css; charset=utf-8',
    keptSeconds: 3600,
  },
  '/docs/swagger-ui-bundle.js': {
    file: 'swagger-ui/swagger-ui-bundle.js',
    type: 'text/javascript; charset=utf-8',
    keptSeconds: 3600,
  },
};
const DOCUMENT = '/docs/openapi.json';

/** Paths that are the page's; a `HEAD` comes with each. */
export const docsPaths: readonly string[] = [...Object.keys(FILES), '/docs/', DOCUMENT];

/** What a page may load and whom it may talk to: this server. Nothing runs that does not stand in a file of it. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

export function addDocs(app: FastifyInstance): void {
  for (const [path, { file, type, keptSeconds }] of Object.entries(FILES)) {
    app.get(path, async (_request, reply) => {
      const content = await readFile(new URL(file, ASSETS));
      return answerWith(reply, keptSeconds).type(type).send(content);
    });
  }
  // Relative, so that it holds behind a proxy that adds a prefix; the page's own links are made for a path without the slash.
  app.get('/docs/', (_request, reply) => answerWith(reply, 0).redirect('../docs', 308));
  app.get(DOCUMENT, async (_request, reply) =>
    // Whatever name the page was asked under, calls go where it came from.
    answerWith(reply, 0)
      .type('application/json; charset=utf-8')
      .send({ ...buildOpenApiDocument(), servers: [{ url: '..' }] }),
  );
}

function answerWith(reply: FastifyReply, keptSeconds: number): FastifyReply {
  return reply
    .header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .header('cache-control', keptSeconds > 0 ? `private, max-age=${keptSeconds}` : 'no-store');
}

/** Whether a request was routed to the page or one of its parts: only there does a browser's own way to ask for a key count. */
export function isDocs(request: FastifyRequest): boolean {
  return docsPaths.includes(request.routeOptions.url ?? '');
}

/** Sent with a 401, so that a browser asks for user and password. */
export const DOCS_CHALLENGE = 'Basic realm="runstead", charset="UTF-8"';

/**
 * The fields of a request for the page, where a key given as a password, whatever the user is called, counts as a bearer
 * (RFC 7617 section 2). Any other `Authorization` is left as it is.
 * @param fields names and values by turns
 */
export function docsFields(fields: readonly string[]): string[] {
  return fields.map((text, at) =>
    at % 2 === 1 && fields[at - 1]!.toLowerCase() === 'authorization' ? asBearer(text) : text,
  );
}

function asBearer(authorization: string): string {
  const encoded = /^Basic +([A-Za-z0-9+/]+={0,2}) *$/i.exec(authorization)?.[1] ?? '';
  const key = /^[^:]*:(rsk_\S+)$/.exec(Buffer.from(encoded, 'base64').toString('utf8'))?.[1];
  return key === undefined ? authorization : `Bearer ${key}`;
}
