// Codex CLI as a client, by responses: a turn in which it runs a command. Arguments: the folder of its package, the server's base URL.
// It reports to nobody else, and its home is a folder that is removed.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [folder, url] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "codex-"));
const provider = `{name="here", base_url="${url}", env_key="KEY", wire_api="responses"}`;
const settings = {
  check_for_update_on_startup: "false",
  "analytics.enabled": "false",
  "feedback.enabled": "false",
  "otel.exporter": '"none"',
  model_provider: '"here"',
  "model_providers.here": provider,
};
const options = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
const command = ["exec", "--json", "--skip-git-repo-check", "-s", "read-only", "-m", "agent", ...options, "How much?"];
const done = spawnSync(join(folder, "node_modules/.bin/codex"), command, {
  cwd: home,
  encoding: "utf8",
  env: { PATH: process.env.PATH, HOME: home, CODEX_HOME: home, KEY: "sk-key" },
  stdio: ["ignore", "pipe", "pipe"],
});
rmSync(home, { recursive: true, force: true });
for (const line of done.stdout.split("\n").filter((line) => line.startsWith("{"))) {
  const { type, item, usage, message } = JSON.parse(line);
  if (type === "item.completed" && item.type === "command_execution") console.log("ran:", item.aggregated_output.trim());
  if (type === "item.completed" && item.type === "agent_message") console.log("said:", item.text);
  if (type === "turn.completed") console.log("tokens:", usage.input_tokens, usage.output_tokens);
  if (type === "error") console.log("error:", message);
}
process.exitCode = done.status;
