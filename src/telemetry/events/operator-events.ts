import type { EventLevel } from '../../connection/event-catalogue.js';
import type { ConnectionStatus } from '../../connection/status.js';

/** What happens around the engine and matters to operators, as a closed union. It contains no secrets. */
export type OperatorEvent =
  | {
      readonly kind: 'connection-status';
      readonly name: string;
      readonly status: ConnectionStatus;
      readonly before: ConnectionStatus;
      /** Whether it is to be up. */
      readonly isWanted: boolean;
      /** Of the first status reason; absent for one that is up. */
      readonly cause?: string;
      readonly reason?: string;
    }
  | {
      readonly kind: 'gateway-reloaded';
      /** False when the change was refused. */
      readonly ok: boolean;
      /** Numbers of connections. */
      readonly changed: number;
      readonly unchanged: number;
      /** What was refused or went wrong, one sentence each. */
      readonly problems: readonly string[];
    }
  | { readonly kind: 'gateway-started'; readonly pid: number; readonly adopted: boolean }
  | { readonly kind: 'gateway-ended'; readonly reason: string; readonly retryMs: number }
  | { readonly kind: 'gateway-silent'; readonly reason: string; readonly pid: number }
  | { readonly kind: 'gateway-answers'; readonly pid: number }
  | {
      readonly kind: 'gateway-took-over';
      /** What became of the member that was active. */
      readonly reason: 'switch' | 'ended' | 'silent';
      readonly term: number;
    }
  | {
      readonly kind: 'gateway-health';
      readonly state: string;
      readonly before: string;
      readonly reasons: readonly { readonly code: string; readonly message: string }[];
    }
  | {
      readonly kind: 'route-moved';
      /** Its id. */
      readonly route: string;
      /** `route a of table b`. */
      readonly name: string;
      /** Members whose tunnels carried its packets before and carry them now, from 1. */
      readonly from: readonly number[];
      readonly to: readonly number[];
    }
  | ({ readonly kind: 'object-created' } & ChangedObject)
  | ({ readonly kind: 'object-changed' } & ChangedObject)
  | ({ readonly kind: 'object-deleted' } & ChangedObject)
  | { readonly kind: 'server-started'; readonly program: string }
  | { readonly kind: 'server-reloaded'; readonly fields: readonly string[] }
  | { readonly kind: 'server-reload-refused'; readonly problems: readonly string[] }
  | { readonly kind: 'webhook-failing'; readonly webhook: string; readonly why: string }
  | {
      readonly kind: 'webhook-recovered';
      readonly webhook: string;
      /** Events that it was not given. */
      readonly dropped: number;
    }
  | {
      readonly kind: 'gap';
      /** Why events are missing: their place was needed by later ones, or they are of a process before this one. */
      readonly reason: 'overwritten' | 'restarted';
      /** How many, whatever their kind; absent where that is not known. */
      readonly lost?: number;
    };

/** What a change of an object by the API is about. */
export interface ChangedObject {
  readonly resourceType: string;
  readonly id: string;
  readonly name: string;
  readonly who: string;
  /** As in the audit trail. */
  readonly action: string;
}

/** An operator's event of one kind. */
export type OperatorEventOf<K extends OperatorEvent['kind']> = Extract<OperatorEvent, { kind: K }>;

/** Everything that is said of the events of one kind. */
interface OperatorEntry<E> {
  /** What it means, for the reference: one sentence. */
  readonly meaning: string;
  readonly level: EventLevel | { readonly among: readonly EventLevel[]; of(event: E): EventLevel };
  /** The message. */
  text(event: E): string;
  /** Its fields; one without a value is left out. */
  readonly fields?: Readonly<Record<string, (event: E) => unknown>>;
}

const objectFields: NonNullable<OperatorEntry<ChangedObject>['fields']> = {
  resource_type: ({ resourceType }) => resourceType,
  id: ({ id }) => id,
  name: ({ name }) => name,
  who: ({ who }) => who,
  action: ({ action }) => action,
};

const thing = ({ resourceType, name }: ChangedObject): string =>
  `${resourceType.replaceAll('_', ' ')} ${name}`;

const membersText = (members: readonly number[]): string => {
  if (members.length === 0) return 'no tunnel';
  return `the tunnel${members.length > 1 ? 's' : ''} of member ${members.join(' and ')}`;
};

/** The events around the engine: the one place that gives them words. */
export const OPERATOR_EVENTS: {
  readonly [K in OperatorEvent['kind']]: OperatorEntry<OperatorEventOf<K>>;
} = {
  'connection-status': {
    meaning: 'The status of a connection is another one. A warning when it is not up and is to be.',
    level: {
      among: ['info', 'warn'],
      of: ({ status, isWanted }) => (status === 'up' || !isWanted ? 'info' : 'warn'),
    },
    text: ({ name, status, reason }) => `${name} is ${status}${reason === undefined ? '' : `: ${reason}`}`,
    fields: { status: ({ status }) => status, before: ({ before }) => before, cause: ({ cause }) => cause },
  },
  'gateway-reloaded': {
    meaning:
      'A gateway went over to another configuration. A warning when it was refused, or not all of it worked.',
    level: {
      among: ['info', 'warn'],
      of: ({ ok, problems }) => (ok && problems.length === 0 ? 'info' : 'warn'),
    },
    text: ({ ok, changed, problems }) =>
      ok
        ? `the configuration was read again, ${changed} connections changed${problems.map((one) => `; ${one}`).join('')}`
        : `the configuration was not applied: ${problems.join('; ')}`,
    fields: { changed: ({ changed }) => changed, unchanged: ({ unchanged }) => unchanged },
  },
  'gateway-started': {
    meaning:
      'The process of a gateway runs and has its configuration; `adopted`: it runs since a server before this one.',
    level: 'info',
    text: ({ pid, adopted }) => `the gateway ${adopted ? 'goes on' : 'was started'}, process ${pid}`,
    fields: { pid: ({ pid }) => pid, adopted: ({ adopted }) => adopted },
  },
  'gateway-ended': {
    meaning: 'The process of a gateway has ended by itself, or did not come to run. It is started again.',
    level: 'warn',
    text: ({ reason }) => reason,
    fields: { retry_ms: ({ retryMs }) => retryMs },
  },
  'gateway-silent': {
    meaning: 'The process of a gateway runs and does not answer. It is ended when it stays so.',
    level: 'warn',
    text: ({ reason }) => reason,
    fields: { pid: ({ pid }) => pid },
  },
  'gateway-answers': {
    meaning: 'A process that was silent answers again.',
    level: 'info',
    text: () => 'the gateway answers again',
    fields: { pid: ({ pid }) => pid },
  },
  'gateway-took-over': {
    meaning:
      'The standby member of a gateway has become the active one, and negotiates its tunnels anew: by a `switch`, or since the other has `ended` or was `silent`. A warning unless somebody asked for it.',
    level: { among: ['info', 'warn'], of: ({ reason }) => (reason === 'switch' ? 'info' : 'warn') },
    text: ({ reason }) =>
      `the standby has taken over: ${{ switch: 'it was asked to', ended: 'the active member has ended', silent: 'the active member did not answer' }[reason]}`,
    fields: { reason: ({ reason }) => reason, term: ({ term }) => term },
  },
  'gateway-health': {
    meaning: 'The `health_state` of a gateway is another one. A warning when it is degraded or faulted.',
    level: {
      among: ['info', 'warn'],
      of: ({ state }) => (state === 'ok' || state === 'inapplicable' ? 'info' : 'warn'),
    },
    text: ({ state, before, reasons }) =>
      `the health of the gateway is ${state}, it was ${before}${reasons.map(({ message }) => `: ${message}`)[0] ?? ''}`,
    fields: {
      health_state: ({ state }) => state,
      before: ({ before }) => before,
      health_reasons: ({ reasons }) => reasons,
    },
  },
  'route-moved': {
    meaning:
      'Packets by a route to a connection go through other tunnels than before. A warning when they go through none.',
    level: { among: ['info', 'warn'], of: ({ to }) => (to.length > 0 ? 'info' : 'warn') },
    text: ({ name, from, to }) =>
      to.length > 0
        ? `${name} leads through ${membersText(to)} now, it led through ${membersText(from)}`
        : `${name} is not in force any more, it led through ${membersText(from)}`,
    fields: { route: ({ route }) => route, from: ({ from }) => from, to: ({ to }) => to },
  },
  'object-created': {
    meaning: 'An object was made by the API.',
    level: 'info',
    text: (event) => `${thing(event)} was made by ${event.who}`,
    fields: objectFields,
  },
  'object-changed': {
    meaning: 'An object was changed by the API, or by the server itself.',
    level: 'info',
    text: (event) => `${thing(event)} was changed by ${event.who}`,
    fields: objectFields,
  },
  'object-deleted': {
    meaning: 'An object was deleted by the API.',
    level: 'info',
    text: (event) => `${thing(event)} was deleted by ${event.who}`,
    fields: objectFields,
  },
  'server-started': {
    meaning: 'The server has started. What was streamed before it is not kept.',
    level: 'info',
    text: ({ program }) => `the server has started, ${program}`,
    fields: { program: ({ program }) => program },
  },
  'server-reloaded': {
    meaning: 'The file of the server was read again and taken over.',
    level: 'info',
    text: ({ fields }) => `the server's file was read again: ${fields.join(', ') || 'nothing'} changed`,
    fields: { changed: ({ fields }) => fields },
  },
  'server-reload-refused': {
    meaning: 'The file of the server was read again and not taken over.',
    level: 'warn',
    text: ({ problems }) => `the server's file was not applied: ${problems.join('; ')}`,
  },
  'webhook-failing': {
    meaning:
      'A webhook could not be delivered to. It is tried again, and this event comes once until it recovers.',
    level: 'warn',
    text: ({ webhook, why }) => `webhook ${webhook} fails: ${why}`,
    fields: { webhook: ({ webhook }) => webhook },
  },
  'webhook-recovered': {
    meaning: 'A webhook takes events again. `dropped`: those that it refused for too long.',
    level: 'info',
    text: ({ webhook, dropped }) =>
      `webhook ${webhook} takes events again${dropped === 0 ? '' : `, ${dropped} were not delivered`}`,
    fields: { webhook: ({ webhook }) => webhook, dropped: ({ dropped }) => dropped },
  },
  gap: {
    meaning: 'Events are missing here: read the state anew. `reason` is `overwritten` or `restarted`.',
    level: 'warn',
    text: ({ reason, lost }) =>
      reason === 'restarted'
        ? 'events before the start of this process are not kept: read the state anew'
        : `${lost ?? 'some'} events were overwritten before they were read: read the state anew`,
    fields: { reason: ({ reason }) => reason, lost: ({ lost }) => lost },
  },
};

/** The words of an operator's event. */
export interface OperatorLine {
  readonly kind: OperatorEvent['kind'];
  readonly level: EventLevel;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What an event around the engine says, and how much it matters. */
export function describeOperatorEvent(event: OperatorEvent): OperatorLine {
  // An entry is only ever given events of its own kind.
  const entry = OPERATOR_EVENTS[event.kind] as OperatorEntry<OperatorEvent>;
  const { level } = entry;
  const fields: Record<string, unknown> = {};
  for (const [name, read] of Object.entries(entry.fields ?? {})) {
    const value = read(event);
    if (value !== undefined) fields[name] = value;
  }
  return {
    kind: event.kind,
    level: typeof level === 'string' ? level : level.of(event),
    message: entry.text(event),
    fields,
  };
}
