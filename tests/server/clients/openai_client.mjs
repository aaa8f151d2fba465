// The openai package of npm as a client. Arguments: the folder with its node_modules, the server's base URL.

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${folder}/package.json`));
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")).href);

const client = new OpenAI({ baseURL, apiKey: "sk-key", maxRetries: 0 });
const messages = [{ role: "user", content: "Hi" }];

const whole = await client.chat.completions.create({ model: "words", messages });
console.log("whole:", whole.choices[0].message.content, whole.choices[0].finish_reason, whole.usage.total_tokens);

let text = "";
for await (const chunk of await client.chat.completions.create({ model: "words", messages, stream: true })) {
  text += chunk.choices[0]?.delta.content ?? "";
}
console.log("streamed:", text);

const response = await client.responses.create({ model: "words", input: "Hi" });
console.log("responses:", response.output_text, response.status);

for (const model of ["busy", "nobody"]) {
  try {
    await client.chat.completions.create({ model, messages });
  } catch (error) {
    console.log("error:", model, error.constructor.name, error.status);
  }
}

text = "";
try {
  for await (const chunk of await client.chat.completions.create({ model: "broken", messages, stream: true })) {
    text += chunk.choices[0]?.delta.content ?? "";
  }
} catch (error) {
  console.log("broken:", text, error.constructor.name);
}
