import type { CliCommand } from './command.js';

/**
 * The arguments of a command that a program has written: `--option value` and `--switch`, each at most once. Anything
 * else is left to yargs, which knows every form and what to say of a mistake, and takes a tenth of a second to load.
 */
export function plainArguments(
  { options }: Pick<CliCommand, 'options'>,
  argv: readonly string[],
): Readonly<Record<string, unknown>> | undefined {
  const given = new Map<string, unknown>();
  const words = argv.values();
  for (const word of words) {
    const name = word.slice(2);
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (!word.startsWith('--') || option === undefined || given.has(name)) return undefined;
    const value = option.type === 'boolean' ? true : readValue(option, words.next().value);
    if (value === undefined) return undefined;
    given.set(name, value);
  }
  for (const [name, option] of Object.entries(options)) {
    if (given.has(name)) continue;
    if (option.demandOption === true) return undefined;
    given.set(name, option.default);
  }
  return Object.fromEntries(given);
}

function readValue(
  { type, choices }: CliCommand['options'][string],
  text: string | undefined,
): string | number | undefined {
  if (text === undefined || text === '' || text.startsWith('-')) return undefined;
  if (type === 'number') return /^[0-9]+$/.test(text) ? Number(text) : undefined;
  return choices === undefined || choices.includes(text) ? text : undefined;
}
