// Vercel's AI SDK as a client. Arguments: the folder with its node_modules, the server's base URL.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { embedMany, generateText, jsonSchema, streamText, tool } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");

const provider = createOpenAICompatible({ name: "tokenwire", baseURL, apiKey: "sk-key", includeUsage: true });
const ask = (model) => ({ model: provider(model), prompt: "Hi", maxRetries: 0 });
const add = tool({
  description: "Add two numbers.",
  inputSchema: jsonSchema({ type: "object", properties: { a: { type: "number" }, b: { type: "number" } } }),
});
const show = (calls) => calls.map((call) => `${call.toolName} ${JSON.stringify(call.input)}`).join();

const whole = await generateText(ask("words"));
console.log("whole:", whole.text, whole.finishReason, whole.usage.totalTokens);

const stream = streamText(ask("words"));
let text = "";
for await (const piece of stream.textStream) text += piece;
console.log("streamed:", text, await stream.finishReason, (await stream.usage).totalTokens);

console.log("tools:", show((await generateText({ ...ask("tools"), tools: { add } })).toolCalls));
console.log("tools streamed:", show(await streamText({ ...ask("tools"), tools: { add } }).toolCalls));

const { embeddings } = await embedMany({ model: provider.textEmbeddingModel("vectors"), values: ["a", "b"], maxRetries: 0 });
console.log("embedding:", JSON.stringify(embeddings[1]));

for (const model of ["busy", "nobody"]) {
  try {
    await generateText(ask(model));
  } catch (error) {
    console.log("error:", model, error.name, error.statusCode);
  }
}

let broken = "";
for await (const part of streamText({ ...ask("broken"), onError: () => {} }).fullStream) {
  if (part.type === "text-delta") broken += part.text;
  if (part.type === "error") broken += ` then ${part.error.message ?? JSON.stringify(part.error)}`;
}
console.log("broken:", broken);
