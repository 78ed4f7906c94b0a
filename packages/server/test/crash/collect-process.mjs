// One life of the folder of packages over the built server: takes in a package that nothing refers to yet, lets it go,
// and then collects while the same bytes come in again. Arguments: the data folder, the body of a create, a file to say
// what there is in the end.
import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { sweepIncoming } from '../../dist/artifacts/collect.js';
import { openDataFolders } from '../../dist/artifacts/folders.js';
import { createPackageIntake } from '../../dist/artifacts/intake.js';
import { createPackageThread } from '../../dist/artifacts/package-thread.js';

const [dataDir, body, said] = process.argv.slice(2);
mkdirSync(dataDir, { recursive: true });
const folders = openDataFolders(dataDir);
// Of a runtime that is there, in every life.
const kept = 'f'.repeat(64);
const keptFile = join(folders.blobs, `${kept}.zip`);
if (!existsSync(keptFile)) writeFileSync(keptFile, 'kept');
await sweepIncoming(folders);
const thread = createPackageThread();
const intake = createPackageIntake(folders, thread);
const references = new Set([kept]);
const arrive = async (name) => {
  copyFileSync(body, join(folders.incoming, name));
  const accepted = await intake.accept(join(folders.incoming, name));
  rmSync(join(folders.incoming, name));
  return accepted;
};

const first = await arrive('first');
first.release();
const collected = intake.collect(async () => references);
const second = await arrive('second');
references.add(second.artifact.digest);
// The row is there: from now on it is referred to, and a collection must leave it.
second.release();
await collected;
await intake.collect(async () => references);
await thread.close();
const blobs = readdirSync(folders.blobs)
  .filter((name) => name.endsWith('.zip'))
  .map((name) => {
    const digest = createHash('sha256')
      .update(readFileSync(join(folders.blobs, name)))
      .digest('hex');
    return name === `${kept}.zip` || name === `${digest}.zip`;
  });
writeFileSync(said, JSON.stringify({ blobs, digest: second.artifact.digest }));
