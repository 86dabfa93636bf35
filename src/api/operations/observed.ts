import { type HistoryDocument, STEPS } from '../../telemetry/history.js';
import { parseDateTime } from '../../telemetry/rfc3339.js';
import * as Type from '../../util/json-schema.js';
import { View } from '../context.js';
import { ApiError } from '../errors.js';
import { answered, type Call, type Operation, operation } from '../operation.js';
import { diagnose } from '../render/diagnosis.js';
import { faultSentence, memberFault } from '../render/health.js';
import { routeStatesTo } from '../render/route-states.js';
import type { GatewayObservation } from '../runner.js';
import * as Schemas from '../schemas/observed-answers.js';
import { choice, findConnection } from './shared.js';

/** What gateways see of their connections, which the VPC documents do not have: beside them, and as our own. */
const shared = { tag: 'VPN gateway connection', prefixes: ['/v1', '/culvert/v1'] } as const;
const PATH = '/vpn_gateways/:gateway/connections/:id';

/** It is of this moment. */
const NO_STORE = { 'cache-control': 'no-store' };
const NO_ADDRESS = '0.0.0.0';

export const observedOperations: readonly Operation[] = [
  operation({
    ...shared,
    method: 'GET',
    path: `${PATH}/diagnosis`,
    id: 'get_vpn_gateway_connection_diagnosis',
    summary: 'Explain why a connection is as it is, with evidence, advice and what happened lately',
    success: { 200: Schemas.Diagnosis },
    errors: [404],
    async handle(call, { store, runner, site }) {
      const view = new View(await store.snapshot());
      const { gateway, connection } = findConnection(view, call.params.gateway!, call.params.id!);
      const explanations = await runner.explain(gateway.id, connection.id);
      const observation = runner.observe(gateway.id);
      const { whole, members } = diagnose({
        ...{ gateway, connection, observation, explanations, links: call.links },
      });
      if (gateway.value.mode === 'policy') return answered(200, whole, NO_STORE);
      const tunnels = members.map((member, index) => ({
        public_ip: { address: gateway.value.members[index]?.publicAddress ?? NO_ADDRESS },
        ...member,
      }));
      const routes = routeStatesTo(connection.id, { view, links: call.links, site, runner });
      return answered(200, { ...whole, tunnels, routes }, NO_STORE);
    },
  }),
  operation({
    ...shared,
    method: 'GET',
    path: `${PATH}/history`,
    id: 'get_vpn_gateway_connection_history',
    summary:
      'Show state, throughput and round-trip time of a connection over the last minutes, hours or days',
    query: {
      step: Type.Optional(
        Type.Enum([...STEPS], {
          description: 'seconds of a step; left out, the finest that reaches back to from, else 60',
        }),
      ),
      from: Type.Optional(
        Type.String({ description: 'RFC 3339; left out, as far back as steps of this width are kept' }),
      ),
    },
    success: { 200: Schemas.History },
    errors: [400, 404],
    async handle(call, { store, runner }) {
      const view = new View(await store.snapshot());
      const { gateway, connection } = findConnection(view, call.params.gateway!, call.params.id!);
      const wish = { step: stepOf(call), from: fromOf(call) };
      const histories = await runner.history(gateway.id, connection.id, wish);
      const observation = runner.observe(gateway.id);
      const { mode, members: configured } = gateway.value;
      const members = configured.slice(0, mode === 'route' ? 2 : 1).map(({ publicAddress }, index) => ({
        public_ip: { address: publicAddress ?? NO_ADDRESS },
        ...memberHistory(histories[index], observation, index),
      }));
      return answered(200, { name: connection.value.name, members }, NO_STORE);
    },
  }),
];

function memberHistory(
  history: HistoryDocument | undefined,
  observation: GatewayObservation | undefined,
  index: number,
): Omit<Schemas.MemberHistoryAnswer, 'public_ip'> {
  if (history !== undefined) {
    const { since, step, points } = history;
    return { since, step, points };
  }
  const fault = observation && memberFault(observation, index);
  const why =
    fault === undefined ? 'The gateway has not taken the connection over yet.' : faultSentence(fault);
  return { since: null, step: null, points: [], fault: why };
}

/** @throws ApiError 400 */
function stepOf(call: Call): (typeof STEPS)[number] | undefined {
  const text = choice(call, 'step', STEPS.map(String));
  return STEPS.find((step) => String(step) === text);
}

/** @throws ApiError 400 */
function fromOf(call: Call): string | undefined {
  const { from } = call.query;
  if (from === undefined) return undefined;
  if (typeof from === 'string' && parseDateTime(from) !== undefined) return from;
  const message = 'from is no time: write it as 2026-11-30T12:00:00Z';
  throw new ApiError(400, 'validation_failure', message, { name: 'from', type: 'parameter' });
}
