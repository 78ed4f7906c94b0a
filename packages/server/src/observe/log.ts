import pino from 'pino';

export type Log = pino.Logger;

/** JSON lines on stderr; fields are named as in the API (`agentRuntimeId`, `instanceId`, `requestId`). */
export function createLog(level: string, process: 'control' | 'gateway'): Log {
  return pino(
    {
      level,
      base: { process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['headers.authorization', 'req.headers.authorization'], censor: '***' },
    },
    pino.destination({ fd: 2, sync: true }),
  );
}
