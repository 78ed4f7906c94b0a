export {
  AbortError,
  AgentRunError,
  ClientError,
  ConnectionError,
  type ConnectionErrorOptions,
  DeleteResourceError,
  HTTPError,
  type HTTPErrorOptions,
  IncompleteStreamError,
  InvalidResponseError,
  ResourceAlreadyExistError,
  ResourceFailedError,
  ResourceNotExistError,
  type ResourceReference,
  type SeenResource,
  ServerError,
  StreamError,
  type StreamErrorOptions,
  TimeoutError,
  ValueError,
} from '../errors.ts';
export { AgentRuntimeClient } from './agent-runtime-client.ts';
export type { Blocking, ChatStream, Rows } from './blocking.ts';
export { codeFromFile, codeFromOss, codeFromZipFile, zipFolder } from './code.ts';
export { AgentRuntime, AgentRuntimeEndpoint } from './resources.ts';
