import { request } from 'node:http';

/**
 * One request on a connection of its own, never repeated. Resolves to what the caller knows of it afterwards:
 * - `{ kind: 'answered', status, body }`: a whole answer; the body parsed if it is JSON
 * - `{ kind: 'refused' }`: nobody listened, so it certainly did nothing
 * - `{ kind: 'silent', why }`: it may have been done or not
 */
export function ask(url, { method = 'GET', apiKey, body, timeoutMs = 30_000 } = {}) {
  return new Promise((resolve) => {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const sent = request(
      url,
      {
        method,
        agent: false,
        headers: {
          ...(apiKey && { authorization: `Bearer ${apiKey}` }),
          ...(text !== undefined && {
            'content-type': 'application/json',
            'content-length': Buffer.byteLength(text),
          }),
        },
      },
      (response) => {
        const pieces = [];
        response.on('data', (piece) => pieces.push(piece));
        response.on('error', (error) => resolve({ kind: 'silent', why: error.message }));
        response.on('end', () => {
          if (!response.complete) return resolve({ kind: 'silent', why: 'the answer was cut off' });
          resolve({ kind: 'answered', status: response.statusCode, body: parsed(Buffer.concat(pieces)) });
        });
      },
    );
    sent.setTimeout(timeoutMs, () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)));
    sent.on('error', (error) =>
      resolve(error.code === 'ECONNREFUSED' ? { kind: 'refused' } : { kind: 'silent', why: error.message }),
    );
    sent.end(text);
  });
}

function parsed(bytes) {
  const text = bytes.toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
