import type { Caller } from './caller.ts';
import type { Config } from './config/config.ts';
import { InvalidResponseError, ValueError } from './errors.ts';
import { ApiPromise } from './transport/api-promise.ts';
import { controlCall, operation } from './transport/send.ts';

/** What an access token is for: one of `resourceName` and `resourceId`. */
export interface AccessTokenInput {
  /** Default `runtime`. Of the cloud also `sandbox`, `tool`, `template`, `litellm`, `knowledgebase`. */
  resourceType?: string | undefined;
  resourceName?: string | undefined;
  resourceId?: string | undefined;
}

export interface AccessToken {
  /** To be sent as `Agentrun-Access-Token` on the data plane: the setting `token`. */
  accessToken: string;
}

export function getAccessToken(
  caller: Caller,
  { resourceType = 'runtime', resourceName, resourceId }: AccessTokenInput,
  config?: Config,
): ApiPromise<AccessToken> {
  const build = () => {
    if (!resourceName === !resourceId) throw new ValueError('give either resourceName or resourceId');
    const query = {
      resourceType,
      resourceName: resourceName || undefined,
      resourceId: resourceId || undefined,
    };
    return operation('GetAccessToken', { path: {}, query });
  };
  return new ApiPromise(
    controlCall(caller, config, build, (data) => {
      const { accessToken } = data;
      // An empty one would be sent as no credential at all, and the agent's refusal would be all there is to see.
      if (typeof accessToken === 'string' && accessToken.trim() !== '') return { ...data, accessToken };
      throw new InvalidResponseError(200, 'GetAccessToken was answered without a token');
    }),
  );
}
