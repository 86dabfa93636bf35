import { existsSync } from 'node:fs';
import type { EventDocument } from '../../telemetry/events/event-document.js';
import { EVENT_KINDS } from '../../telemetry/events/kinds.js';
import { DEFAULT_CONTROL, daemonOptions, defineCommand, type OutputFormat } from '../command.js';
import { withControl } from '../control.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { eventLine } from '../event-line.js';
import type { Terminal } from '../terminal.js';
import { apiOptions, connectApi } from '../vpn/connect.js';
import { readEvents } from '../vpn/event-source.js';

const several = { type: 'string', requiresArg: true } as const;

export const eventsCommand = defineCommand({
  name: 'events',
  operands: '',
  description: 'Show what happens to gateways, connections and the server',
  positionals: {},
  options: {
    follow: { type: 'boolean', alias: 'f', default: false, describe: 'Go on with what comes, until Ctrl-C' },
    kind: { ...several, choices: EVENT_KINDS, describe: 'Events of this kind; may be given several times' },
    gateway: { ...several, describe: 'Of this gateway of culvert serve, by name or id; several times' },
    connection: { ...several, describe: 'Of this connection, by name or id; several times' },
    level: { choices: ['info', 'warn'], describe: 'Of this level at least' },
    since: {
      type: 'string',
      requiresArg: true,
      describe: 'From then on: 30s, 10m, 2h, 1d ago, or a time as 2026-11-30T08:00:00Z',
    },
    'last-event-id': { type: 'string', requiresArg: true, describe: 'Go on after the event of this id' },
    control: daemonOptions.control,
    ...apiOptions,
  },
  repeatable: ['kind', 'gateway', 'connection'],
  examples: [
    ['events', 'All events that the server keeps'],
    ['events --follow --level warn', 'What goes wrong, as it happens'],
    ['events --follow --kind connection-status --gateway gateway-1', 'Tunnels that come and go'],
    ['events --since 10m --output json', 'The last ten minutes, one JSON document a line'],
    ['events --follow --control /run/culvert/control.sock', 'Of a daemon with a file of its own'],
  ],
  epilogue:
    'Asks the API server; with --control, or where no endpoint is named and a daemon has its socket in the usual place,\n' +
    'that daemon. With --follow and without --since or --last-event-id only what comes. docs/events.md lists the kinds.\n' +
    'Exit codes: 0 done, or ended by Ctrl-C; 1 no server, or refused; 2 wrong usage.',
  async run(args, terminal) {
    const { follow, since, level, 'last-event-id': lastEventId } = args;
    if (since !== undefined && lastEventId !== undefined) {
      throw new UsageError('--since and --last-event-id name different places to begin: give one of them');
    }
    const wish: Wish = {
      ...{ follow, level, lastEventId, kinds: listOf(args.kind), gateways: listOf(args.gateway) },
      connections: listOf(args.connection),
      since: since === undefined ? undefined : timeOf(since, Date.now()),
    };
    const show = (event: EventDocument): void => present(event, args.output, terminal);
    const stop = new AbortController();
    const end = (): void => stop.abort();
    process.once('SIGINT', end).once('SIGTERM', end);
    try {
      if (isForDaemon(args)) await ofDaemon(args, wish, { show, signal: stop.signal });
      else await ofServer(args, wish, { show, signal: stop.signal, terminal });
    } finally {
      process.removeListener('SIGINT', end).removeListener('SIGTERM', end);
    }
    return ExitCode.done;
  },
});

interface Wish {
  readonly follow: boolean;
  readonly kinds: readonly string[];
  readonly gateways: readonly string[];
  readonly connections: readonly string[];
  readonly level: string | undefined;
  /** RFC 3339, UTC. */
  readonly since: string | undefined;
  readonly lastEventId: string | undefined;
}

interface Viewer {
  show(event: EventDocument): void;
  readonly signal: AbortSignal;
}

interface Target {
  readonly control?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly 'token-file'?: string | undefined;
  readonly 'ca-file'?: string | undefined;
  readonly timeout?: number | undefined;
}

function isForDaemon({ control, endpoint }: Target): boolean {
  if (control !== undefined) return true;
  return endpoint === undefined && process.env.CULVERT_ENDPOINT === undefined && existsSync(DEFAULT_CONTROL);
}

async function ofDaemon(target: Target, wish: Wish, { show, signal }: Viewer): Promise<void> {
  const { follow, kinds, connections, gateways, level, since, lastEventId } = wish;
  if (gateways.length > 0) {
    throw new UsageError('--gateway chooses among those of culvert serve: a daemon has one, leave it out');
  }
  const from = lastEventId ?? (since !== undefined || !follow ? 'oldest' : undefined);
  await withControl(target, async (control) => {
    await control.events(
      {
        follow,
        ...(from === undefined ? {} : { from }),
        ...(kinds.length === 0 ? {} : { kinds }),
        ...(connections.length === 0 ? {} : { connections }),
        ...(level === 'info' || level === 'warn' ? { level } : {}),
      },
      (event) => {
        if (since === undefined || event.time >= since) show(event);
      },
    );
    if (!follow) return;
    const stopped = new Promise<'stopped'>((resolve) => {
      signal.addEventListener('abort', () => resolve('stopped'), { once: true });
      if (signal.aborted) resolve('stopped');
    });
    const how = await Promise.race([stopped, control.closed.then(() => 'gone' as const)]);
    if (how === 'gone') throw new CliError('the daemon has ended; start it again with culvert run');
  });
}

async function ofServer(
  target: Target,
  { follow, kinds, gateways, connections, level, since, lastEventId }: Wish,
  { show, signal, terminal }: Viewer & { readonly terminal: Terminal },
): Promise<void> {
  const query = new URLSearchParams({ follow: String(follow) });
  for (const kind of kinds) query.append('kind', kind);
  for (const gateway of gateways) query.append('gateway', gateway);
  for (const connection of connections) query.append('connection', connection);
  if (level !== undefined) query.set('level', level);
  if (since !== undefined) query.set('since', since);
  await readEvents(connectApi(target), {
    ...{ query, follow, signal, take: show },
    ...(lastEventId === undefined ? {} : { lastEventId }),
    lost: () => terminal.note('culvert: the connection to the server was lost, it is opened again'),
  });
}

function present(event: EventDocument, output: OutputFormat, terminal: Terminal): void {
  terminal.line(output === 'json' ? JSON.stringify(event) : eventLine(event, terminal.style));
}

/** The values of an option that may be given several times: yargs gives one of them bare. */
function listOf(value: string | readonly string[] | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : value;
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** @throws UsageError */
function timeOf(text: string, now: number): string {
  const [, count, unit = ''] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? [];
  const time = count === undefined ? Date.parse(text) : now - Number(count) * UNIT_MS[unit]!;
  const isDate = count !== undefined || /^[0-9]{4}-[0-9]{2}-[0-9]{2}T/.test(text);
  if (isDate && !Number.isNaN(time)) return new Date(time).toISOString();
  throw new UsageError(`--since does not take "${text}": write 30s, 10m, 2h, 1d or 2026-11-30T08:00:00Z`);
}
