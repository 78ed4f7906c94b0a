import { END, MessagesAnnotation, START, StateGraph } from '@langchain/langgraph';
import { ToolNode, toolsCondition } from '@langchain/langgraph/prebuilt';
import { ModelError } from './openai-error.mjs';
import { calculate } from './tools/calculate.mjs';
import { readHandbook } from './tools/read-handbook.mjs';

const tools = [calculate, readHandbook];

/** The agent: ask the model, run the tools it asks for, ask again, until it answers without a tool. */
export function buildGraph({ model, systemPrompt }) {
  const modelWithTools = model.bindTools(tools);

  async function askModel({ messages }, config) {
    const system = { role: 'system', content: systemPrompt };
    try {
      return { messages: [await modelWithTools.invoke([system, ...messages], config)] };
    } catch (error) {
      throw new ModelError(error);
    }
  }

  return new StateGraph(MessagesAnnotation)
    .addNode('model', askModel)
    .addNode('tools', new ToolNode(tools))
    .addEdge(START, 'model')
    .addConditionalEdges('model', toolsCondition, ['tools', END])
    .addEdge('tools', 'model')
    .compile();
}
