import OpenAI from 'openai';

export interface Model {
  client: OpenAI;
  name: string;
}

interface OfflineModel {
  startOfflineModel(): Promise<{ baseUrl: string }>;
}

/** The model named by OPENAI_BASE_URL, OPENAI_API_KEY and MODEL_NAME, or the scripted one without them. */
export async function connectModel(env: NodeJS.ProcessEnv): Promise<{ model: Model; description: string }> {
  if (env.OPENAI_BASE_URL) {
    const name = env.MODEL_NAME ?? 'gpt-4o-mini';
    return { model: { client: connect(env.OPENAI_BASE_URL, env.OPENAI_API_KEY), name }, description: name };
  }
  // Imported only here, so that an agent with a real model can leave the file out. It lies beside dist/.
  const file = new URL('../offline-model.mjs', import.meta.url).href;
  const { startOfflineModel } = (await import(file)) as OfflineModel;
  const { baseUrl } = await startOfflineModel();
  return {
    model: { client: connect(baseUrl), name: 'offline-model' },
    description: 'the offline model, because OPENAI_BASE_URL is not set',
  };
}

function connect(baseURL: string, apiKey?: string): OpenAI {
  // The client insists on a key, also towards servers that want none.
  return new OpenAI({ baseURL, apiKey: apiKey || 'none', maxRetries: 1 });
}
