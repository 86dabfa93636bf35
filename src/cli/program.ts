import yargs, { type Argv } from 'yargs';
import { programVersion } from '../telemetry/program.js';
import { type CliCommand, outputOption } from './command.js';
import { applyCommand } from './commands/apply.js';
import { backupCommand } from './commands/backup.js';
import { benchCommand } from './commands/bench.js';
import { captureCommand } from './commands/capture.js';
import { checkCommand } from './commands/check.js';
import { completionCommand } from './commands/completion.js';
import { consoleCommand } from './commands/console.js';
import { doctorCommand } from './commands/doctor.js';
import { downCommand } from './commands/down.js';
import { eventsCommand } from './commands/events.js';
import { explainCommand } from './commands/explain.js';
import { exportCommand } from './commands/export.js';
import { gatewayProcessCommand } from './commands/gateway-process.js';
import { monitoringCommand } from './commands/monitoring.js';
import { pairCommand } from './commands/pair.js';
import { pskCommand } from './commands/psk.js';
import { reloadCommand } from './commands/reload.js';
import { restoreCommand } from './commands/restore.js';
import { runCommand } from './commands/run.js';
import { serveCommand } from './commands/serve.js';
import { serveReloadCommand } from './commands/serve-reload.js';
import { statusCommand } from './commands/status.js';
import { storeCommand } from './commands/store.js';
import { tokenCommand } from './commands/token.js';
import { upCommand } from './commands/up.js';
import { COMPLETIONS_FLAG, completions } from './completion.js';
import { CliError, ExitCode, expectedText, messageOf, reportError, UsageError } from './errors.js';
import { suggestion } from './nearest.js';
import type { Terminal } from './terminal.js';
import { topHelp } from './top-help.js';
import { vpnCommands } from './vpn/commands.js';

const COMMANDS: readonly CliCommand[] = [
  runCommand,
  checkCommand,
  statusCommand,
  pairCommand,
  explainCommand,
  doctorCommand,
  captureCommand,
  eventsCommand,
  upCommand,
  downCommand,
  reloadCommand,
  serveCommand,
  serveReloadCommand,
  consoleCommand,
  gatewayProcessCommand,
  tokenCommand,
  pskCommand,
  applyCommand,
  exportCommand,
  backupCommand,
  restoreCommand,
  storeCommand,
  monitoringCommand,
  benchCommand,
  completionCommand,
  ...vpnCommands,
];

const GLOBAL_OPTIONS = ['output', 'help', 'version'];

interface Chosen {
  readonly command: CliCommand;
  readonly args: Record<string, unknown>;
}

/**
 * Runs one command line (without node and script) to its end and answers with the exit code. Expected
 * errors become one line on standard error; only a bug shows a stack.
 */
export async function runProgram(argv: readonly string[], terminal: Terminal): Promise<ExitCode> {
  if (argv[0] === COMPLETIONS_FLAG) {
    // The first word after it is the program's.
    terminal.lines(await completions(COMMANDS, argv.slice(2)));
    return ExitCode.done;
  }
  if (asksForAll(argv)) {
    const { style } = terminal;
    const width = helpWidth(terminal);
    terminal.lines(topHelp(COMMANDS, (command) => vpnCommands.includes(command), { style, width }));
    return ExitCode.done;
  }
  let json = false;
  try {
    const chosen = await parse(argv, terminal);
    if (chosen === undefined) return ExitCode.done;
    json = chosen.args.output === 'json';
    return await chosen.command.run(chosen.args as never, terminal);
  } catch (thrown) {
    const hint = thrown instanceof UsageError && !thrown.message.includes('--help') ? usageHint(argv) : '';
    const expected = expectedText(thrown);
    if (json && expected !== undefined) terminal.json({ error: { message: expected } });
    return reportError(thrown, terminal, hint);
  }
}

/** `culvert --help`, which shows the commands and not the options of one. */
function asksForAll(argv: readonly string[]): boolean {
  return argv.includes('--help') && argv.every((word) => word.startsWith('-'));
}

function helpWidth(terminal: Terminal): number {
  return Math.min(110, terminal.width() ?? 100);
}

/** What was asked for; undefined when help or the version has been printed instead. */
async function parse(argv: readonly string[], terminal: Terminal): Promise<Chosen | undefined> {
  let chosen: Chosen | undefined;
  let parser = yargs([...argv])
    .scriptName('culvert')
    .usage('Usage: $0 <command> [options]\n\nIKE/IPsec site-to-site VPN gateway in userland.')
    .locale('en')
    // Options keep the one name they are documented by.
    .parserConfiguration({
      'camel-case-expansion': false,
      'boolean-negation': false,
      'dot-notation': false,
      'parse-positional-numbers': false,
    })
    .wrap(helpWidth(terminal))
    .version(programVersion)
    .help()
    .strict()
    .demandCommand(1, 'name a command, for example "culvert pair --once"; culvert --help lists them all')
    .exitProcess(false)
    .fail((message, error) => {
      throw error instanceof CliError ? error : usageError(argv, message ?? messageOf(error));
    })
    .showHelpOnFail(false) as Argv;
  for (const command of COMMANDS) {
    parser = parser.command(
      `${command.name} ${command.operands}`.trim(),
      // yargs leaves out of its list what has no description.
      command.hidden === true ? (false as unknown as string) : command.description,
      (sub) => describe(sub, command),
      (args) => {
        chosen = { command, args: lastValues(command, args as unknown as Record<string, unknown>) };
      },
    );
  }
  let printed = '';
  await parser.parseAsync([...argv], {}, (_error, _args, output) => {
    printed = output;
  });
  if (printed !== '') terminal.line(printed);
  return chosen;
}

/**
 * A repeated switch, choice or number has its last value, so that an alias of the shell can be overruled; a repeated
 * name of something is a mistake. yargs collects the values, as it must for operands.
 * @throws UsageError
 */
function lastValues(command: CliCommand, args: Record<string, unknown>): Record<string, unknown> {
  const last = { ...args };
  for (const name of [...Object.keys(command.options), 'output']) {
    if (command.repeatable?.includes(name)) continue;
    const value = last[name];
    if (!Array.isArray(value)) continue;
    if (command.options[name]?.type === 'string' && new Set(value).size > 1) {
      throw new UsageError(`--${name} is given ${value.length} times: give it once`);
    }
    last[name] = value.at(-1);
  }
  return last;
}

function describe(parser: Argv, command: CliCommand): Argv {
  let sub = parser
    .usage(`Usage: $0 ${`${command.name} ${command.operands}`.trim()} [options]\n\n${command.description}`)
    .options({ ...command.options, output: outputOption });
  for (const [name, positional] of Object.entries(command.positionals))
    sub = sub.positional(name, positional);
  for (const [line, does] of command.examples) sub = sub.example(`$0 ${line}`, does);
  return sub.epilogue(command.epilogue ?? 'Exit codes: 0 done, 1 it failed, 2 wrong usage.');
}

/** Turns what yargs complains about into one sentence in our words, with the nearest known name. */
function usageError(argv: readonly string[], message: string): UsageError {
  const command = commandOf(argv);
  const first = argv.find((word) => !word.startsWith('-'));
  // Options of a command that there is not are unknown, all of them: that is not what is wrong.
  if (command === undefined && first !== undefined) return unknownCommand(first);
  const option = unknownOption(argv, command);
  if (option !== undefined) return option;
  const unknown = /^Unknown (?:argument|command)s?: (.*)$/m.exec(message);
  if (unknown !== null) {
    const name = unknown[1]!.split(', ')[0]!;
    if (command === undefined) return unknownCommand(name);
    return new UsageError(`unexpected argument "${name}" after "${command.name}"`);
  }
  const missing = /^Missing required arguments?: (.*)$/m.exec(message);
  if (missing !== null) {
    const names = missing[1]!.split(', ').map((name) => `--${name}`);
    return new UsageError(`"${command?.name}" needs ${names.join(' and ')}`);
  }
  const bare = /^Not enough arguments following: (.*)$/m.exec(message);
  if (bare !== null) return new UsageError(`--${bare[1]} needs a value`);
  const few = /^Not enough non-option arguments: got ([0-9]+)/m.exec(message);
  if (few !== null) return new UsageError(missingOperand(command, Number(few[1])));
  const choice = /Argument: (\S+), Given: (.*), Choices: (.*)$/m.exec(message);
  if (choice !== null) {
    const given = choice[2]!.replaceAll('"', '');
    const known = choice[3]!.replaceAll('"', '').split(', ');
    const what = command !== undefined && choice[1]! in command.positionals ? choice[1]! : `--${choice[1]}`;
    return new UsageError(
      `${what} does not take "${given}"${suggestion(given, known)}; it takes one of ${known.join(', ')}`,
    );
  }
  return new UsageError(message.trim());
}

function unknownCommand(name: string): UsageError {
  const known = COMMANDS.filter(({ hidden }) => hidden !== true).map(({ name: word }) => word);
  return new UsageError(`unknown command "${name}"${suggestion(name, known)}`);
}

/** Of the operands that a command needs, the first one that is not there is missing. */
function missingOperand(command: CliCommand | undefined, given: number): string {
  const needed = [...(command?.operands ?? '').matchAll(/<([^>]+)>/g)].map(([, name]) =>
    name!.replace('...', '').toUpperCase(),
  );
  const missing = needed.slice(given);
  const whole = needed.length > 1 ? `: ${command?.name} ${needed.join(' ')}` : '';
  return `"${command?.name}" needs ${missing.map(withArticle).join(', ') || 'a further argument'}${whole}`;
}

function withArticle(word: string): string {
  return `${/^[AEIO]/.test(word) ? 'an' : 'a'} ${word}`;
}

/** An unknown option comes before anything else that is wrong: it often is the reason for it. */
function unknownOption(argv: readonly string[], command: CliCommand | undefined): UsageError | undefined {
  const options = Object.entries(command?.options ?? {});
  const aliases = options.flatMap(([, { alias = [] }]) => alias);
  const known = [...options.map(([name]) => name), ...aliases, ...GLOBAL_OPTIONS];
  for (const word of argv) {
    const typed = /^--?([^-=][^=]*)/.exec(word);
    if (word === '--') return undefined;
    // A negative number is a value.
    if (typed === null || known.includes(typed[1]!) || /^-[0-9.]+$/.test(word)) continue;
    const option = word.split('=')[0]!;
    return new UsageError(`unknown option "${option}"${suggestion(typed[1]!, known, '--')}`);
  }
  return undefined;
}

function commandOf(argv: readonly string[]): CliCommand | undefined {
  const word = argv.find((argument) => !argument.startsWith('-'));
  return COMMANDS.find(({ name }) => name === word);
}

function usageHint(argv: readonly string[]): string {
  const command = commandOf(argv);
  return ` (see culvert ${command === undefined ? '' : `${command.name} `}--help)`;
}
