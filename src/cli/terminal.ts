import { chooseStyle, type Style } from './style.js';

/**
 * Where a command writes to: results on standard output, everything about the way there on standard
 * error, so that `--output json` can be piped.
 */
export interface Terminal {
  readonly style: Style;
  readonly errorStyle: Style;
  readonly isTty: boolean;
  /** Columns of the screen, undefined when standard output is no terminal. */
  width(): number | undefined;
  line(text?: string): void;
  lines(texts: readonly string[]): void;
  json(value: unknown): void;
  /** One line on standard error. */
  note(text: string): void;
  /** Clears the screen of a terminal; elsewhere writes nothing. */
  clear(): void;
}

/** The terminal of this process. */
export function processTerminal(): Terminal {
  const out = process.stdout;
  const isTty = out.isTTY === true;
  return {
    style: chooseStyle(isTty, process.env),
    errorStyle: chooseStyle(process.stderr.isTTY === true, process.env),
    isTty,
    width: () => (isTty && out.columns > 0 ? out.columns : undefined),
    line: (text = '') => void out.write(`${text}\n`),
    lines: (texts) => {
      if (texts.length > 0) out.write(`${texts.join('\n')}\n`);
    },
    json: (value) => void out.write(`${JSON.stringify(value, null, 2)}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
    clear: () => {
      // Cursor home, clear to the end: without the flicker of clearing first.
      if (isTty) out.write('\u001b[H\u001b[2J');
    },
  };
}

/**
 * A reader that has seen enough (`culvert status | head -1`) closes the pipe. That is no failure: the
 * process ends quietly, with the code a shell expects from a program that has done its part.
 */
export function surviveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EPIPE') process.exit(0);
      throw error;
    });
  }
}
