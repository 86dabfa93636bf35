import { runProgram } from '../../src/cli/program.js';
import { plainStyle } from '../../src/cli/style.js';
import type { Terminal } from '../../src/cli/terminal.js';

export interface CommandOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command line in this process, as for a pipe. */
export async function commandLine(...argv: string[]): Promise<CommandOutcome> {
  let out = '';
  let err = '';
  const terminal: Terminal = {
    style: plainStyle,
    errorStyle: plainStyle,
    isTty: false,
    width: () => undefined,
    line: (text = '') => {
      out += `${text}\n`;
    },
    lines: (texts) => {
      out += texts.map((text) => `${text}\n`).join('');
    },
    json: (value) => {
      out += `${JSON.stringify(value, null, 2)}\n`;
    },
    note: (text) => {
      err += `${text}\n`;
    },
    clear: () => {},
  };
  const code = await runProgram(argv, terminal);
  return { code, out, err };
}
