// Fails the way deployed agents fail most often: a variable that was set on the author's machine is missing.

import { createServer } from 'node:http';

const databaseUrl = process.env.ORDERS_DATABASE_URL;
if (!databaseUrl) {
  throw new Error('ORDERS_DATABASE_URL is not set: the agent cannot look up orders without its database.');
}

createServer((_request, response) => response.end('ok')).listen(Number(process.env.PORT ?? 9000), '0.0.0.0');
