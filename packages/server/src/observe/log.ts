import pino from 'pino';

export type Log = pino.Logger;

/**
 * JSON lines, by default on stderr; fields are named as in the API (`agentRuntimeId`, `instanceId`, `requestId`).
 * @param to takes each line, with its end
 */
export function createLog(
  level: string,
  process: 'control' | 'gateway',
  to: pino.DestinationStream = pino.destination({ fd: 2, sync: true }),
): Log {
  return pino(
    {
      level,
      base: { process },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: ['headers.authorization', 'req.headers.authorization'], censor: '***' },
    },
    to,
  );
}
