import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { ApiLab, type LabOptions } from './api-lab.js';
import { commandLine } from './command-line.js';

/** A server, and a file that is applied to it by the command line; `key` beside it holds a pre-shared key. */
export async function openApplyLab(t: Test, options: LabOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-apply-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t, options);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const file = join(folder, 'vpn.yaml');
  writeFileSync(join(folder, 'key'), 'a-key-in-a-file\n', { mode: 0o600 });
  const cli = (...argv: string[]) => commandLine(...argv, '--endpoint', `unix:${socketPath}`);
  const apply = async (text: string, ...argv: string[]) => {
    writeFileSync(file, text);
    return cli('apply', '-f', file, ...argv);
  };
  /** What the plan does, as `verb object`. */
  const plan = async (text: string, ...argv: string[]): Promise<string[]> => {
    const { code, out, err } = await apply(text, '--output', 'json', ...argv);
    if (code !== 0) throw new Error(err);
    const { changes } = JSON.parse(out) as { changes: { verb: string; object: string; changes: string[] }[] };
    return changes.map(({ verb, object, changes: what }) => [verb, object, ...what].join(' | '));
  };
  return { lab, folder, file, cli, apply, plan };
}
