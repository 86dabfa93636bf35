import { espLayout } from '../esp/layout.js';
import type { EspPair } from '../esp/params.js';
import { DEFAULT_REPLAY_WINDOW } from '../esp/params.js';
import { MAX_CHILD_ID } from '../esp/policy-table.js';
import { replayWindowFault } from '../esp/replay-window.js';
import { keyFault } from '../esp/sa-keys.js';
import { type EspStart, FRESH_START, LAST_SEQUENCE, startFault } from '../esp/start.js';
import type { DeviceNumber, Spi } from '../util/ids.js';
import { type Endpoint, parseIp } from '../util/ip.js';
import { type Term, termFault } from '../util/term.js';

/** A data plane, as far as it decides which pairs it takes. */
export interface Admitting {
  readonly closed: boolean;
  /** Whether it has a socket for ESP as IP protocol 50. */
  readonly sendsRaw: boolean;
  hasChild(id: number): boolean;
  hasSpi(spi: Spi): boolean;
  /** Why no child SA with this inbound SPI can use the device; undefined when it can. */
  deviceFault(device: DeviceNumber, spiIn: Spi): string | undefined;
}

/**
 * What `install` of every data plane refuses before it does anything. The caller wipes the keys then.
 * @param local the socket that the pair's packets leave from
 * @throws RangeError for a data plane that is closed, a form it cannot send, an id or SPI in use, a device that is not
 *   there, keys that do not fit the suite, a replay window or counters out of range, or a peer that the socket cannot
 *   reach
 */
export function admit(pair: EspPair, local: Endpoint, plane: Admitting): void {
  const { id, spiIn, device = 0, replayWindow = DEFAULT_REPLAY_WINDOW } = pair;
  const refuse = (why: string): never => {
    throw new RangeError(`child SA ${id}${why}`);
  };
  if (plane.closed) refuse(': the data plane is closed');
  if (pair.encapsulation !== 'udp' && !plane.sendsRaw) {
    refuse(
      ' wants ESP as IP protocol 50, and this data plane has no raw socket: give the process CAP_NET_RAW, or set "encapsulation: always"',
    );
  }
  if (!Number.isInteger(id) || id < 0 || id > MAX_CHILD_ID) {
    refuse(`: ids are whole numbers from 0 to ${MAX_CHILD_ID}`);
  }
  if (plane.hasChild(id)) refuse(' is installed already');
  if (plane.hasSpi(spiIn)) refuse(`: inbound SPI ${spiIn} is in use`);
  const unusable = plane.deviceFault(device, spiIn);
  if (unusable !== undefined) refuse(`: ${unusable}`);
  const layout = espLayout(pair.suite);
  for (const keys of [pair.keysIn, pair.keysOut]) {
    const fault = keyFault(layout, keys);
    if (fault !== undefined) refuse(`: the keys do not fit the suite: ${fault}`);
  }
  const window = replayWindowFault(replayWindow);
  if (window !== undefined) refuse(`: ${window}`);
  checkStart(id, pair.start ?? FRESH_START);
  checkPeer(id, pair.peer, local);
}

/** @throws RangeError when the counters of a child SA cannot be there */
export function checkStart(id: number, start: EspStart): void {
  const fault = startFault(start);
  if (fault !== undefined) throw new RangeError(`child SA ${id}: ${fault}`);
}

/** @throws RangeError when so many sequence numbers cannot be left out */
export function checkSkip(id: number, packets: number): void {
  if (Number.isInteger(packets) && packets >= 0 && packets <= LAST_SEQUENCE) return;
  throw new RangeError(
    `child SA ${id}: ${packets} sequence numbers to leave out: use a whole number from 0 to ${LAST_SEQUENCE}`,
  );
}

/** The term to seal in from now on. @throws RangeError when it may not follow the term `before` */
export function laterTerm(term: Term, before: Term): Term {
  const fault = termFault(term, before);
  if (fault !== undefined) throw new RangeError(fault);
  return term;
}

/**
 * The kernel refuses every datagram from a socket to another family: this says so before.
 * @throws RangeError when `peer` is not an IP address of the family of `local`
 */
export function checkPeer(id: number, peer: Endpoint, local: Endpoint): void {
  const to = parseIp(peer.address);
  if (to === undefined || to.length !== parseIp(local.address)?.length) {
    throw new RangeError(
      `child SA ${id}: the peer "${peer.address}" cannot be reached from ${local.address}`,
    );
  }
}
