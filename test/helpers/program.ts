import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The program as it was built. */
export const PROGRAM = fileURLToPath(new URL('../../dist/main.js', import.meta.url));

/** For `env`. The test runner hooks into every Node it sees started: programs must be as an operator has them. */
export const UNHOOKED = ['-u', 'NODE_OPTIONS'] as const;

export interface ProgramOutcome {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program, without input, to its end. Rejects when it cannot be started. */
export function programOutcome(
  argv: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<ProgramOutcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      err += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
