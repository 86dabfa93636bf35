import type { Options } from 'yargs';
import type { CliCommand } from './command.js';
import { openControl } from './control.js';
import { runningMembers, servedFolder } from './daemons.js';

/** The word that asks for completions instead of a command; scripts that were installed earlier use it. */
export const COMPLETIONS_FLAG = '--get-yargs-completions';

/** Options that every command has and that take no value from a list. */
const PLAIN = ['--help', '--version'];
/** A person does not wait longer after Tab. */
const PATIENCE_SECONDS = 1;
/** Commands whose operands are connections of a daemon. */
const CONNECTION_COMMANDS: ReadonlySet<string> = new Set(['status', 'explain', 'doctor', 'up', 'down']);

/**
 * What may take the place of the last of `words`, the words of a command line without the program's. None where a file
 * is due: shells complete these themselves.
 */
export async function completions(
  commands: readonly CliCommand[],
  words: readonly string[],
): Promise<readonly string[]> {
  const current = words.at(-1) ?? '';
  // Shells hand `--name=value` over as three words.
  const before = words.slice(0, -1).filter((word) => word !== '=');
  const command = commands.find(({ name }) => name === before.find((word) => !word.startsWith('-')));
  if (command === undefined) {
    const names = commands.filter(({ hidden }) => hidden !== true).map(({ name }) => name);
    return begin(current.startsWith('-') ? PLAIN : names, current);
  }
  const option = optionOf(command, before.at(-1));
  if (option !== undefined) return begin((option.choices ?? []).map(String), current);
  if (current.startsWith('-')) return begin(optionNames(command), current);
  if (CONNECTION_COMMANDS.has(command.name)) return begin(await connectionNames(before), current);
  const choices = Object.values(command.positionals).flatMap(({ choices = [] }) => choices.map(String));
  if (command.operands !== '') return begin(choices, current);
  return begin(optionNames(command), current);
}

/** The option whose value comes next. */
function optionOf({ options }: CliCommand, word: string | undefined): Options | undefined {
  if (word === undefined || !word.startsWith('-')) return undefined;
  const name = word.replace(/^--?/, '');
  if (name === 'output') return { choices: ['text', 'json'] };
  const found =
    options[name] ?? Object.values(options).find(({ alias }) => alias !== undefined && alias === name);
  return found?.type === 'boolean' ? undefined : found;
}

function optionNames({ options }: CliCommand): string[] {
  const shown = Object.entries(options).filter(([, { hidden }]) => hidden !== true);
  return [...shown.map(([name]) => `--${name}`), '--output', ...PLAIN];
}

/** Those of the daemon that the command line means; none when it does not answer. */
async function connectionNames(words: readonly string[]): Promise<string[]> {
  const given = (name: string): string | undefined => {
    const at = words.indexOf(`--${name}`);
    return at < 0 ? undefined : words[at + 1];
  };
  const args = { control: given('control'), 'run-folder': given('run-folder') };
  try {
    const control = await openControl({ control: args.control, timeout: PATIENCE_SECONDS });
    try {
      return (await control.status()).connections.map(({ name }) => name);
    } finally {
      control.close();
    }
  } catch {
    if (args.control !== undefined) return [];
    const members = await runningMembers(servedFolder(args), PATIENCE_SECONDS).catch(() => []);
    return [
      ...new Set(
        members.flatMap(({ gateway, names }) => [...names.values()].map((one) => `${gateway}/${one}`)),
      ),
    ];
  }
}

function begin(candidates: readonly string[], current: string): string[] {
  return candidates.filter((one) => one.startsWith(current));
}
