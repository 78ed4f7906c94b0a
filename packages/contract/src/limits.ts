/** Limits and defaults of the contract (constraints and defaults); the API enforces them, clients may show them. */

/** Runtime, endpoint and workspace names. */
export const NAME_PATTERN = /^[a-zA-Z][a-zA-Z0-9_-]{0,127}$/;
export const CREDENTIAL_NAME_PATTERN = /^[a-zA-Z][a-zA-Z0-9_-]{0,63}$/;
/** A version as endpoints name it: `LATEST` or an integer from 1. */
export const VERSION_PATTERN = /^(LATEST|[1-9][0-9]{0,8})$/;
export const LATEST = 'LATEST';

/** Buckets, as object stores name them: 3 to 63 characters, none of what host names take for something else. */
export const BUCKET_NAME_PATTERN =
  /^(?!xn--)(?!.*\.\.)(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** In UTF-8. */
export const OBJECT_NAME_MAX_BYTES = 1024;

export const DESCRIPTION_MAX_CHARACTERS = 256;
export const RESOURCE_GROUP_MAX_CHARACTERS = 128;
/** vCPU. */
export const CPU_RANGE = { min: 0.05, max: 16 } as const;
/** MiB. */
export const MEMORY_RANGE = { min: 128, max: 32_768 } as const;
export const PORT_RANGE = { min: 1, max: 65_535 } as const;
export const SESSION_CONCURRENCY_RANGE = { min: 1, max: 200 } as const;
export const SESSION_CONCURRENCY_DEFAULT = 1;
/** Seconds. */
export const SESSION_IDLE_RANGE = { min: 60, max: 86_400 } as const;
/** Seconds. */
export const SESSION_IDLE_DEFAULT = 3600;

/** Page size when a list does not name one, and the largest one that is honoured. */
export const PAGE_SIZE_DEFAULT = 50;
export const PAGE_SIZE_MAX = 100;

/** Health check ranges: seconds and counts. */
export const HEALTH_CHECK = {
  initialDelaySeconds: { min: 0, max: 300 },
  periodSeconds: { min: 1, max: 300, default: 30 },
  timeoutSeconds: { min: 1, max: 60, default: 3 },
  failureThreshold: { min: 1, max: 10, default: 3 },
  successThreshold: { min: 1, max: 10, default: 1 },
} as const;
