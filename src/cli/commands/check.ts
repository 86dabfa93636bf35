import { countOf } from '../amounts.js';
import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';
import { foldEqual } from '../fold.js';
import { sourceName } from '../read-input.js';
import { wrapText } from '../table.js';

export const checkCommand = defineCommand({
  name: 'check',
  operands: '',
  description: 'Validate a configuration file and the key files it names',
  positionals: {},
  options: {
    config: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'Configuration file (YAML), or - for standard input',
    },
  },
  examples: [
    ['check --config gateway.yaml', 'Every error with its place, or "ok" and what to know'],
    ['check --config gateway.yaml --output json', '{"ok": …, "errors": […], "advisories": […]}'],
  ],
  async run({ config: path, output }, terminal) {
    const { adviseConfig, describeErrors, loadConfig } = await import('../gateway-config.js');
    const loaded = loadConfig(path);
    const name = sourceName(path);
    if (!loaded.ok) {
      const { error: errors } = loaded;
      if (output === 'json') terminal.json({ ok: false, file: path, gateway: null, errors, advisories: [] });
      else terminal.note(describeErrors(name, errors));
      return ExitCode.failed;
    }
    const { file, psks } = loaded.value;
    const advisories = adviseConfig(loaded.value);
    for (const key of psks.values()) key.wipe();
    const { gateway } = file;
    if (output === 'json') {
      const summary = {
        name: gateway.name,
        mode: gateway.mode,
        address: gateway.address,
        connections: file.connections.map(({ name }) => name),
      };
      terminal.json({ ok: true, file: path, gateway: summary, errors: [], advisories });
      return ExitCode.done;
    }
    const count = countOf(file.connections.length, 'connection');
    terminal.line(
      `${name}: ${terminal.style.good('ok')}, gateway ${gateway.name} at ${gateway.address} in ${gateway.mode} mode, ${count}`,
    );
    if (file.connections.length === 0) {
      terminal.line('  without connections it carries no traffic: add some under "connections"');
    }
    for (const text of foldEqual(advisories)) {
      const width = terminal.width();
      const lines = width === undefined ? [text] : wrapText(text, Math.max(40, width - 4));
      terminal.lines(lines.map((line, i) => (i === 0 ? `  ${line}` : `    ${line}`)));
    }
    return ExitCode.done;
  },
});
