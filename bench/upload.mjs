// Sends one body so many times at once, each under a name of its own, and prints the statuses.
import { createReadStream, statSync } from 'node:fs';
import { request } from 'node:http';
import { Transform } from 'node:stream';

const [url, apiKey, file, count, prefix] = process.argv.slice(2);

/** Puts the name into the first piece. */
function named(name) {
  let first = true;
  return new Transform({
    transform(chunk, _encoding, done) {
      if (first)
        chunk = Buffer.concat([
          Buffer.from(chunk.toString('latin1', 0, 100).replace('NAME', name)),
          chunk.subarray(100),
        ]);
      first = false;
      done(null, chunk);
    },
  });
}

function upload(name) {
  return new Promise((resolve, reject) => {
    const sent = request(
      `${url}/2025-09-10/agents/runtimes`,
      {
        method: 'POST',
        headers: {
          authorization: `Bearer ${apiKey}`,
          'content-type': 'application/json',
          'content-length': statSync(file).size + name.length - 'NAME'.length,
        },
      },
      (response) => {
        response.resume();
        response.once('end', () => resolve(response.statusCode));
      },
    );
    sent.once('error', reject);
    createReadStream(file).pipe(named(name)).pipe(sent);
  });
}

const statuses = await Promise.all(
  Array.from({ length: Number(count) }, (_, index) => upload(`${prefix}${index}`)),
);
console.log(statuses.join(' '));
