export * from './access-token.ts';
export { Crc64, crc64 } from './crc64.ts';
export * from './endpoint.ts';
export type { DataPlaneError, ErrorEnvelope, SuccessEnvelope } from './envelope.ts';
export { type ErrorCode, type ErrorKind, errorTable, RunsteadError } from './errors.ts';
export * from './limits.ts';
export * from './list.ts';
export { buildOpenApiDocument } from './openapi.ts';
export { commonErrors, type Operation, operations } from './operations.ts';
export {
  API_VERSION,
  fillPath,
  type HttpMethod,
  invocationPath,
  type OperationName,
  type OperationPath,
  operationPaths,
  type PathParameters,
} from './paths.ts';
export * from './runtime.ts';
export * from './signature.ts';
export * from './workspace.ts';
