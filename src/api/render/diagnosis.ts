import type { Diagnosis, Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument } from '../../connection/status.js';
import type { ConnectionRecord, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import type { GatewayFault, GatewayObservation } from '../runner.js';
import { NO_KEY } from './connections.js';
import { faultSentence, memberFault } from './health.js';
import { type Links, moreInfo } from './links.js';

/** What a diagnosis is made of. */
export interface Diagnosed {
  readonly gateway: StoredObject<GatewayRecord>;
  readonly connection: StoredObject<ConnectionRecord>;
  readonly observation: GatewayObservation | undefined;
  /** What the members say themselves, in their order; undefined for one that says nothing. */
  readonly explanations: readonly (Explanation | undefined)[];
  readonly links: Links;
}

/** What is to be done about a gateway whose process cannot be asked, and what happens by itself. */
interface FaultWords {
  readonly cause: string;
  readonly advice: string;
  readonly next: string;
}

const FAULTS: Readonly<Record<GatewayFault['kind'], FaultWords>> = {
  starting: {
    cause: 'gateway_starting',
    advice: 'Ask again in a few seconds; when it stays so, the log of the server says what it waits for.',
    next: 'The connection is negotiated as soon as the gateway runs.',
  },
  address: {
    cause: 'gateway_address',
    advice:
      'Give the namespace of the VPC a device on whose network the address lies, and take the address off every other host and device that has it (`ip address show`).',
    next: 'It is tried again by itself, with pauses of up to 30 s.',
  },
  start: {
    cause: 'gateway_not_started',
    advice: 'Put right what the message names, on the host of the server; the log of the server has more.',
    next: 'It is tried again by itself, with pauses of up to 30 s.',
  },
  ended: {
    cause: 'gateway_ended',
    advice:
      'Nothing to do when it happens once; when it happens again, report the lines that the log of the server has from before the end.',
    next: 'The gateway is started again by itself, and negotiates the connection anew.',
  },
  silent: {
    cause: 'gateway_silent',
    advice:
      'See on its host whether the process is stopped (`ps -o stat,args -p PID` begins with T) or the host overloaded.',
    next: 'When it does not answer for a minute, it is ended and started again.',
  },
};

/**
 * What is wrong with a connection, or that nothing is: of a policy mode gateway what its one member says; in route mode
 * what the member says that is worst off, and in `members` what each does, in their order.
 */
export function diagnose(diagnosed: Diagnosed): {
  readonly whole: Diagnosis;
  readonly members: readonly Diagnosis[];
} {
  const { mode, members: configured } = diagnosed.gateway.value;
  const count = mode === 'route' ? 2 : 1;
  const members = Array.from({ length: count }, (_, index) => memberDiagnosis(diagnosed, index));
  const worst = members.reduce((a, b) => (BADNESS[b.status] > BADNESS[a.status] ? b : a));
  // As everywhere, a connection is up in part when one of its tunnels is.
  if (members.every(({ status }) => status === worst.status)) return { whole: worst, members };
  const address = configured[members.indexOf(worst)]?.publicAddress;
  const verdict = `One of its two tunnels is up. Of the other one, at ${address}: ${worst.verdict}`;
  return { whole: { ...worst, status: 'degraded', verdict }, members };
}

const BADNESS: Readonly<Record<Diagnosis['status'], number>> = { up: 0, degraded: 1, down: 2 };

function memberDiagnosis(diagnosed: Diagnosed, index: number): Diagnosis {
  const { gateway, connection, observation, explanations, links } = diagnosed;
  const { name, psk } = connection.value;
  const explained = explanations[index];
  if (explained !== undefined) {
    return { ...explained, name, connection: withLinks(explained.connection, links) };
  }
  if (psk === undefined) {
    const advice = 'Set psk, and admin_state_up to true, by a PATCH of the connection.';
    return unseen(name, { cause: 'no_key', verdict: `The connection is down. ${NO_KEY.message}`, advice });
  }
  if (gateway.value.lifecycle === 'deleting') {
    const verdict = 'The connection is down, since its gateway is being deleted.';
    return unseen(name, { cause: 'gateway_deleting', verdict });
  }
  const fault = observation === undefined ? NOT_STARTED : memberFault(observation, index);
  if (fault === undefined) {
    const verdict = 'The gateway runs, and has not taken the connection over yet.';
    return unseen(name, { cause: 'not_taken_over', verdict, advice: FAULTS.starting.advice });
  }
  return unseen(name, { ...FAULTS[fault.kind], verdict: faultVerdict(fault) });
}

/** The gateway's process does not know where the server's pages are. */
function withLinks(status: ConnectionStatusDocument, links: Links): ConnectionStatusDocument {
  const reasons = status.status_reasons.map((reason) => {
    const link = moreInfo(reason, links);
    return link === undefined ? reason : { ...reason, more_info: link };
  });
  return { ...status, status_reasons: reasons };
}

const NOT_STARTED: GatewayFault = { kind: 'starting', message: 'the server has not come to it yet' };

function faultVerdict(fault: GatewayFault): string {
  const known =
    fault.kind === 'silent'
      ? 'What the connection does is not known'
      : 'The connection is down: no gateway process carries it';
  return `${known}. ${faultSentence(fault)}`;
}

/** A connection that no process can be asked about. */
function unseen(
  name: string,
  about: {
    readonly cause: string;
    readonly verdict: string;
    readonly advice?: string;
    readonly next?: string;
  },
): Diagnosis {
  const { cause, verdict, advice, next } = about;
  return {
    name,
    status: 'down',
    verdict,
    cause,
    advice: advice === undefined ? [] : [advice],
    next: next === undefined ? [] : [next],
    connection: null,
    timeline: [],
  };
}
