// Claude Code as a client, by messages: a turn in which it runs a command. Arguments: the folder of its package, the server's base URL.
// It reports to nobody else, and its home is a folder that is removed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [folder, url] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "claude-"));
const command = ["-p", "How much?", "--model", "agent", "--allowedTools", "Bash", "--output-format", "stream-json", "--verbose"];
const done = spawnSync(join(folder, "node_modules/.bin/claude"), command, {
  cwd: home,
  encoding: "utf8",
  env: {
    PATH: process.env.PATH,
    HOME: home,
    ANTHROPIC_BASE_URL: url.replace(/\/v1$/, ""),
    ANTHROPIC_API_KEY: "sk-key",
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: "1",
    DISABLE_AUTOUPDATER: "1",
    DISABLE_ERROR_REPORTING: "1",
    DISABLE_TELEMETRY: "1",
  },
  stdio: ["ignore", "pipe", "pipe"],
});
rmSync(home, { recursive: true, force: true });
for (const line of done.stdout.split("\n").filter((line) => line.startsWith("{"))) {
  const { type, message, result, usage } = JSON.parse(line);
  if (type === "user") console.log("ran:", message.content[0].content);
  if (type === "assistant" && message.content[0].type === "text") console.log("said:", message.content[0].text);
  if (type === "result") console.log("tokens:", usage.input_tokens, usage.output_tokens);
}
process.exitCode = done.status;
