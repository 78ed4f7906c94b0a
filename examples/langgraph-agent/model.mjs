import { ChatOpenAI } from '@langchain/openai';

/** The model named by OPENAI_BASE_URL, OPENAI_API_KEY and MODEL_NAME, or the scripted one without them. */
export async function connectModel(env) {
  if (env.OPENAI_BASE_URL) {
    const name = env.MODEL_NAME ?? 'gpt-4o-mini';
    return { model: chatModel(name, env.OPENAI_BASE_URL, env.OPENAI_API_KEY), description: name };
  }
  // Imported only here, so that an agent with a real model can leave the file out.
  const { startOfflineModel } = await import('./offline-model.mjs');
  const { baseUrl } = await startOfflineModel();
  return {
    model: chatModel('offline-model', baseUrl),
    description: 'the offline model, because OPENAI_BASE_URL is not set',
  };
}

function chatModel(model, baseURL, apiKey) {
  return new ChatOpenAI({
    model,
    // The client insists on a key, also towards servers that want none.
    apiKey: apiKey ?? 'none',
    configuration: { baseURL },
    // The default of 6 would keep a caller waiting for a minute before hearing that the model is down.
    maxRetries: 1,
  });
}
