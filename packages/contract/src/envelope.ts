/** Bodies of control-plane answers (contract: envelopes). */

export interface SuccessEnvelope<T> {
  code: 'SUCCESS';
  requestId: string;
  data: T;
}

export interface ErrorEnvelope {
  code: string;
  message: string;
  requestId: string;
}

/** The platform's own errors on the data plane, in the shape OpenAI clients read. */
export interface DataPlaneError {
  error: { message: string; type: string; code: string; param: string | null };
}
