import { ACTIVITIES, ADVISORY_CODES } from '../../connection/status.js';
import { STEPS } from '../../telemetry/history.js';
import * as Type from '../../util/json-schema.js';
import {
  Address,
  type AnswerOf,
  arrayOf,
  Count,
  closed,
  Id,
  named,
  nullable,
  optional,
  Text,
  Time,
} from './answer-parts.js';
import { RouteState } from './route-state-answers.js';

/*
 * What gateways see of their connections, as `culvert explain` and `culvert status` print it. It comes from the gateway's
 * process and may get further fields there, so that these objects are not closed.
 */

const Words = Type.Array(Text);
const Counts = Type.Record(Text, Count);

/** A status reason with its details, which the API of the documents has no field for. */
const DetailedReason = Type.Object({
  code: Text,
  message: Text,
  more_info: optional(Text),
  details: optional(
    Type.Unsafe<{ readonly cause: string; readonly [field: string]: unknown }>({
      type: 'object',
      required: ['cause'],
      properties: { cause: { type: 'string' } },
    }),
  ),
});

const Suite = { encryption: Text, integrity: nullable(Text), additional_key_exchanges: Words };

const Ike = Type.Object({
  version: Type.Enum([1, 2]),
  state: Type.Enum(['connecting', 'established', 'deleting']),
  role: Type.Enum(['initiator', 'responder']),
  initiator_spi: Text,
  responder_spi: Text,
  ...Suite,
  prf: Text,
  dh_group: Text,
  nat: Type.Object({ local: Type.Boolean(), peer: Type.Boolean(), peer_may_force: Type.Boolean() }),
  local_endpoint: Text,
  peer_endpoint: Text,
  peer_identity: Text,
  established_at: Time,
  rekey_at: Time,
});

const Child = Type.Object({
  state: Type.Enum(['installed', 'rekeyed']),
  local_ts: Words,
  peer_ts: Words,
  spi_in: Text,
  spi_out: Text,
  ...Suite,
  dh_group: nullable(Text),
  encapsulation: Type.Enum(['udp', 'esp']),
  path_mtu: optional(Count),
  inner_mtu: optional(Count),
  worker: optional(Count),
  bytes_in: Count,
  bytes_out: Count,
  packets_in: Count,
  packets_out: Count,
  drops: Counts,
  established_at: Time,
  rekey_at: Time,
});

const Coverage = Type.Object({
  pairs: Count,
  covered: Count,
  pending: Count,
  refused: Count,
  matrix: Type.Array(
    Type.Object({
      local: Text,
      peer: Text,
      state: Type.Enum(['covered', 'pending', 'refused', 'down']),
      cause: optional(Text),
      refused_at: optional(Time),
      next_attempt_at: optional(Time),
      spi_in: optional(Text),
      spi_out: optional(Text),
    }),
  ),
});

const Status = Type.Enum(['up', 'down', 'degraded']);

const ConnectionStatus = Type.Object({
  id: Id,
  name: Text,
  status: Status,
  admin_state_up: Type.Boolean(),
  establish_mode: Type.Enum(['bidirectional', 'peer_only']),
  peer: Text,
  ike: nullable(Ike),
  children: Type.Array(Child),
  status_reasons: Type.Array(DetailedReason),
  advisories: Type.Array(Type.Object({ code: Type.Enum([...ADVISORY_CODES]), message: Text })),
  quirks: optional(Type.Array(Type.Object({ code: Text, message: Text }))),
  interface: optional(Text),
  coverage: optional(Coverage),
  activity: optional(Type.Enum([...ACTIVITIES])),
  failed_attempts: optional(Count),
  next_attempt_at: optional(Time),
  flaps: optional(Type.Object({ total: Count, last_10_minutes: Count })),
  drops: optional(Counts),
});

const explanation = {
  name: Text,
  status: Status,
  verdict: Text,
  cause: nullable(Text),
  advice: Words,
  next: Words,
  // Null when there is no gateway process to ask.
  connection: nullable(ConnectionStatus),
  timeline: Type.Array(Type.Object({ first_at: Time, last_at: Time, count: Count, what: Text, text: Text })),
};

/**
 * Why a connection is as it is. In route mode only: `tunnels`, the same of each member, in their order, and `routes`, the
 * routes of VPCs to it and through which of its tunnels they lead.
 */
export const Diagnosis = named('VPNGatewayConnectionDiagnosis', {
  ...explanation,
  tunnels: optional(Type.Array(Type.Object({ public_ip: Address, ...explanation }, closed))),
  routes: optional(arrayOf(RouteState)),
});

const Amount = nullable(Count);

/** How a connection has fared, member by member in their order. What is null was not measured. */
export const History = named('VPNGatewayConnectionHistory', {
  name: Text,
  members: Type.Array(
    Type.Object(
      {
        public_ip: Address,
        // Null when there is no gateway process to ask; `fault` says why then.
        since: nullable(Time),
        step: nullable(Type.Enum([...STEPS])),
        points: Type.Array(
          Type.Object(
            {
              at: Time,
              seconds: Count,
              up_seconds: Amount,
              degraded_seconds: Amount,
              bytes_in: Amount,
              bytes_out: Amount,
              packets_in: Amount,
              packets_out: Amount,
              round_trip_ms: nullable(Type.Number({ minimum: 0 })),
            },
            closed,
          ),
        ),
        fault: optional(Text),
      },
      closed,
    ),
  ),
});

/** How one member has seen a connection fare. */
export type MemberHistoryAnswer = AnswerOf<typeof History>['members'][number];
