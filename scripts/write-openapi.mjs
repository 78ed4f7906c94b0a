import { writeFileSync } from 'node:fs';
import { buildOpenApiDocument } from '@runstead/contract';

/** Writes the API's description from the built contract; a test fails while the file is stale. */
const file = new URL('../docs/openapi.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(buildOpenApiDocument(), null, 2)}\n`);
