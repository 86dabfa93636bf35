import type { RouteStateAnswer } from '../../api/schemas/route-state-answers.js';
import type { Diagnosis } from '../../connection/explain.js';
import { showDiagnosis } from '../diagnosis-view.js';
import { CliError, ExitCode } from '../errors.js';
import type { Terminal } from '../terminal.js';
import { connectionOperands, connectionPath, givenConnection } from './connections.js';
import { vpcOption } from './options.js';
import type { VpnCommand } from './spec.js';

/** The answer of the API: of a connection in route mode with the tunnels of both members. */
type Answer = Diagnosis & {
  readonly tunnels?: readonly (Diagnosis & { readonly public_ip: { readonly address: string } })[];
  /** Absent in the answer of an older server. */
  readonly routes?: readonly RouteStateAnswer[];
};

const name = 'vpn-gateway-connection-explain';

/** What the reference CLI does not have: why a connection is as it is, as `culvert explain` says it on the server. */
export const diagnosisCommands: readonly VpnCommand[] = [
  {
    name,
    operands: '<gateway> <connection>',
    positionals: connectionOperands,
    options: vpcOption,
    description: 'Say why a connection is not up, with evidence and advice',
    examples: [
      [`${name} my-gateway my-connection`, 'The cause, both offers side by side, what happened lately'],
      [`${name} my-gateway my-connection --output json`, 'The same for programs'],
    ],
    epilogue:
      'Exit codes: 0 the connection is up, 1 it is not, or the server cannot be asked, 2 wrong usage.',
    run: async (api, given) => {
      const { gateway, connection } = await givenConnection(api, given);
      const { body } = await api.call('GET', `${connectionPath(gateway.id, connection.id)}/diagnosis`);
      if (!isAnswer(body)) throw new CliError('the answer is no diagnosis: is the server an older one?');
      return {
        kind: 'report',
        json: body,
        show: (terminal) => show(body, terminal),
        code: body.status === 'up' ? ExitCode.done : ExitCode.failed,
      };
    },
  },
];

function show(answer: Answer, terminal: Terminal): void {
  if (answer.tunnels === undefined) {
    showDiagnosis(answer, terminal);
    return;
  }
  for (const [index, tunnel] of answer.tunnels.entries()) {
    if (index > 0) terminal.line('');
    terminal.line(terminal.style.bold(`${answer.name}, tunnel ${index + 1} (${tunnel.public_ip.address})`));
    showDiagnosis(tunnel, terminal);
  }
  showRoutes(answer.routes ?? [], terminal);
}

function showRoutes(routes: readonly RouteStateAnswer[], terminal: Terminal): void {
  if (routes.length === 0) return;
  terminal.line('');
  terminal.line(terminal.style.bold('Routes'));
  for (const route of routes) terminal.line(`  ${routeLine(route)}`);
  for (const note of new Set(routes.flatMap(({ notes }) => notes))) terminal.line(`  ${note}`);
}

function routeLine({
  name,
  routing_table: table,
  destination,
  tunnels,
  reason,
  moved_at,
}: RouteStateAnswer): string {
  const members = tunnels.filter(({ carries }) => carries).map(({ member }) => member);
  const tunnel = members.length > 1 ? 'tunnels' : 'tunnel';
  const how =
    members.length === 0
      ? `not in force${reason === undefined ? '' : `: ${reason}`}`
      : `through ${tunnel} ${members.join(' and ')}`;
  const since = moved_at === null ? '' : `, since ${moved_at}`;
  return `${destination} (${name} of ${table.name}) ${how}${since}`;
}

function isAnswer(body: unknown): body is Answer {
  return typeof body === 'object' && body !== null && 'verdict' in body && 'timeline' in body;
}
