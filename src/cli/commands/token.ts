import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';

export const tokenCommand = defineCommand({
  name: 'token',
  operands: '<name>',
  description: 'Make a token or API key for "culvert serve", and the lines for its file',
  positionals: { name: { type: 'string', demandOption: true, describe: 'Who is to hold it' } },
  options: {
    role: {
      choices: ['viewer', 'editor'] as const,
      default: 'editor',
      describe: 'viewer: reads, but sees no key; editor: changes',
    },
  },
  examples: [['token terraform', 'Under "tokens" for a bearer token, under "api_keys" for IAM logins']],
  epilogue: 'The token is shown once and kept nowhere: only its hash goes into the file.',
  async run({ name, role, output }, terminal) {
    const { hashSecret, newSecret } = await import('../../api/auth/credentials.js');
    const token = newSecret();
    const entry = { name, role, hash: hashSecret(token) };
    if (output === 'json') {
      terminal.json({ token, entry });
    } else {
      terminal.line(token);
      terminal.note(
        `in the file of the server, under "tokens" (or "api_keys" for IAM logins):\n  - { name: ${name}, role: ${role}, hash: "${entry.hash}" }`,
      );
    }
    return ExitCode.done;
  },
});
