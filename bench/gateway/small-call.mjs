import { randomUUID } from 'node:crypto';
import { request } from 'node:http';

/** What a small call carries: a request body of 225 bytes, an answer of 550. */
export const REQUEST_BODY = `{"messages":[{"role":"user","content":"${'a'.repeat(182)}"}]}`;
export const ANSWER = `{"answer":"${'b'.repeat(537)}"}`;
if (REQUEST_BODY.length !== 225 || ANSWER.length !== 550) throw new Error('the sizes are not as promised');

/** Requests of so many sessions to one path, as on the wire. @param fields further ones, names and values by turns */
export function smallCalls(path, { sessions = 32, fields = [] } = {}) {
  return Array.from({ length: sessions }, () => {
    const lines = [
      `POST ${path} HTTP/1.1`,
      `host: ${HOST}`,
      'user-agent: bench',
      'accept: application/json',
      'content-type: application/json',
      `content-length: ${REQUEST_BODY.length}`,
      `x-agentrun-session-id: ${randomUUID()}`,
    ];
    for (let at = 0; at < fields.length; at += 2) lines.push(`${fields[at]}: ${fields[at + 1]}`);
    return `${lines.join('\r\n')}\r\n\r\n${REQUEST_BODY}`;
  });
}

/** Whatever listens, the requests are the same byte for byte; a signature is over it too. */
export const HOST = '127.0.0.1';

/** Makes one such call and looks at its answer, which the load does not. @throws Error unless it is the agent's, whole */
export async function checkAnswer(port, path, fields = []) {
  const { status, text } = await ask(port, path, fields);
  if (status !== 200 || text !== ANSWER)
    throw new Error(`port ${port} answers ${status} ${text.slice(0, 300)}`);
}

/** @throws Error when such a call is answered by the agent: then nothing is checked of what is said to be */
export async function checkRefused(port, path, fields) {
  const { status } = await ask(port, path, fields);
  if (status !== 401 && status !== 403) throw new Error(`port ${port} answers ${status} instead of refusing`);
}

function ask(port, path, fields) {
  const headers = { host: HOST, 'content-type': 'application/json' };
  for (let at = 0; at < fields.length; at += 2) headers[fields[at]] = fields[at + 1];
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method: 'POST', headers, agent: false });
    sent.once('error', reject);
    sent.once('response', async (response) => {
      const text = (await response.setEncoding('utf8').toArray()).join('');
      resolve({ status: response.statusCode, text });
    });
    sent.end(REQUEST_BODY);
  });
}
