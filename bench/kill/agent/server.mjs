// Answers every call with who it is: its runtime's name and the revision that its configuration says.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const { RUNTIME, REVISION, CRASH, PORT = 9000 } = process.env;
if (CRASH) throw new Error(`told to crash in revision ${REVISION} of ${RUNTIME}`);
const variant = readFileSync(new URL('variant.txt', import.meta.url), 'utf8');

createServer((_request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ runtime: RUNTIME, revision: Number(REVISION), variant }));
}).listen(Number(PORT)); // A container publishes no loopback of its own; a process is kept to the machine's.
