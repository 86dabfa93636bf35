import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defineCommand } from '../command.js';
import { CliError, ExitCode } from '../errors.js';
import { apiOptions, connectApi } from '../vpn/connect.js';

export const consoleCommand = defineCommand({
  name: 'console',
  operands: '',
  description: 'Print a link by which a browser logs in to the web console, once',
  positionals: {},
  options: {
    role: {
      choices: ['viewer', 'editor'] as const,
      default: 'editor',
      describe: 'What the browser may do: never more than who asks for the link',
    },
    open: {
      type: 'boolean',
      default: false,
      describe: 'Open it in the browser of this machine (xdg-open) in place of printing it',
    },
    ...apiOptions,
  },
  examples: [
    ['console', 'A link for an editor, when it is asked for by the Unix socket'],
    ['console --role viewer', 'A link for a person who is only to look'],
  ],
  epilogue:
    'The link works once and for two minutes; the login lasts twelve hours. A token or an API key can also be entered\n' +
    'at the page itself.\n' +
    'Exit codes: 0 done, 1 no server, or no console there, 2 wrong usage.',
  async run(args, terminal) {
    const link = await connectApi(args).loginLink(args.role);
    if (args.output === 'json') terminal.json(link);
    else if (args.open) await openInBrowser(link.url);
    else terminal.line(link.url);
    return ExitCode.done;
  },
});

/**
 * Through a page in a file that only this user can read: the arguments of a program are for every user to see, and the
 * link is a secret. @throws CliError
 */
async function openInBrowser(url: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-console-'));
  const page = join(folder, 'login.html');
  const target = url.replaceAll('&', '&amp;').replaceAll('"', '&quot;');
  writeFileSync(
    page,
    `<!doctype html><meta charset="utf-8"><meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url=${target}"><title>Culvert</title>\n`,
    { mode: 0o600 },
  );
  const opener = spawn('xdg-open', [page], { stdio: 'ignore', detached: true });
  await new Promise<void>((resolve, reject) => {
    opener.once('error', () =>
      reject(
        new CliError('there is no xdg-open on this machine: leave out --open, and open the link yourself'),
      ),
    );
    opener.once('spawn', resolve);
  });
  opener.unref();
}
