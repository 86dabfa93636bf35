import type { ConnectionStatusDocument } from '../connection/status.js';
import type { Control } from './control.js';
import { absentMembers, type DaemonArguments, eachDaemon } from './daemons.js';
import { CliError, ExitCode, messageOf, UnreachableError } from './errors.js';
import { causeOf, chosenConnections } from './status-filter.js';
import type { Terminal } from './terminal.js';

/**
 * States of a check, the worst last, and the exit codes that the plugin API of Nagios gives them, which Icinga, Zabbix,
 * Sensu and Checkmk have taken over (https://nagios-plugins.org/doc/guidelines.html).
 */
const CHECK_CODES = {
  ok: ExitCode.done,
  warning: ExitCode.failed,
  unknown: ExitCode.unknown,
  critical: ExitCode.usage,
} as const;
const STATES = Object.keys(CHECK_CODES) as readonly CheckState[];

type CheckState = keyof typeof CHECK_CODES;

/** Something that is not as it should be. */
interface Problem {
  readonly state: Exclude<CheckState, 'ok'>;
  /** As operands name it. */
  readonly name: string;
  readonly what: string;
}

/** What a monitoring check found. */
interface Checked {
  /** Connections by what they are; `disabled` are meant to be down, by configuration or by an operator. */
  readonly counts: { up: number; degraded: number; down: number; disabled: number };
  readonly problems: Problem[];
}

/** Problems that the line names; the others are counted. */
const MAX_NAMED = 5;

/** A terminal that drops what is written to it. */
function silenced(terminal: Terminal): Terminal {
  const nothing = (): void => undefined;
  return { ...terminal, line: nothing, lines: nothing, json: nothing, clear: nothing };
}

/**
 * Looks at the connections that the operands mean, of one daemon or of all gateways of `culvert serve`, and prints one
 * line as monitoring systems want it.
 */
export async function checkStatus(
  args: DaemonArguments,
  operands: readonly string[],
  terminal: Terminal,
): Promise<ExitCode> {
  const checked: Checked = { counts: { up: 0, degraded: 0, down: 0, disabled: 0 }, problems: [] };
  const { problems } = checked;
  try {
    for (const id of await absentMembers(args, operands)) {
      problems.push({ state: 'critical', name: `gateway ${id}`, what: 'its process does not run' });
    }
    // JSON: without headings between gateways.
    await eachDaemon(
      { ...args, output: 'json' },
      operands,
      silenced(terminal),
      async ({ control, wanted, gateway }) => {
        await look(control, wanted, gateway, checked);
        return ExitCode.done;
      },
    );
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    // Of a gateway that does not run neither the name nor the connections are known.
    const away = error instanceof UnreachableError || problems.length > 0;
    problems.push({ state: away ? 'critical' : 'unknown', name: '', what: messageOf(error) });
  }
  return present(checked, args.output === 'json', terminal);
}

async function look(
  control: Control,
  wanted: readonly string[],
  gateway: string | undefined,
  { counts, problems }: Checked,
): Promise<void> {
  for (const one of chosenConnections(await control.status(), wanted, false)) {
    const isMeantUp = one.admin_state_up && one.activity !== 'stopped';
    counts[isMeantUp ? one.status : 'disabled']++;
    if (!isMeantUp || one.status === 'up') continue;
    const name = gateway === undefined ? one.name : `${gateway}/${one.name}`;
    problems.push({ state: one.status === 'down' ? 'critical' : 'warning', name, what: wordsFor(one) });
  }
}

function wordsFor(one: ConnectionStatusDocument): string {
  return `${one.status}, ${causeOf(one)}`;
}

function present({ counts, problems }: Checked, json: boolean, terminal: Terminal): ExitCode {
  const state = STATES[Math.max(0, ...problems.map((one) => STATES.indexOf(one.state)))]!;
  const { up, degraded, down, disabled } = counts;
  const total = up + degraded + down;
  const message = messageFor(problems, `${up} of ${total} connections up`);
  if (json) {
    terminal.json({ state, exit_code: CHECK_CODES[state], message, counts, problems });
    return CHECK_CODES[state];
  }
  // 'label'=value[UOM];[warn];[crit];[min];[max]
  const data = [
    ...[`up=${up};;;0;${total}`, `degraded=${degraded};;;0;${total}`],
    ...[`down=${down};;;0;${total}`, `disabled=${disabled};;;0`],
  ];
  terminal.line(`CULVERT ${state.toUpperCase()} - ${message} | ${data.join(' ')}`);
  return CHECK_CODES[state];
}

function messageFor(problems: readonly Problem[], counted: string): string {
  const worst = [...problems].sort((a, b) => STATES.indexOf(b.state) - STATES.indexOf(a.state));
  const named = worst.slice(0, MAX_NAMED).map(({ name, what }) => (name === '' ? what : `${name} (${what})`));
  const rest = worst.length - named.length;
  const list = [...named, ...(rest === 0 ? [] : [`and ${rest} more`])].join(', ');
  // A vertical bar begins the figures.
  return (list === '' ? counted : `${counted}: ${list}`).replaceAll('|', '/');
}
