/**
 * `culvert/ike`: the engine of IKEv1 (main mode, RFC 2409) and IKEv2 (RFC 7296) without sockets, clock, timers or
 * randomness of its own.
 *
 * The order of calls:
 * 1. `new Engine({ crypto, random, limits: DEFAULT_LIMITS, config: { connections } })`
 * 2. `engine.handle(input, now)` for everything that happens: a datagram, a command, a timer. `now` is milliseconds on a
 *    clock that never goes back.
 * 3. Carry out every `Output` it returns, in order, before the next input: send datagrams, install ESP SAs, read events.
 * 4. Call `handle({ kind: 'timer' }, now)` when `engine.nextDeadline()` has come; ask again after each input.
 *
 * The SAs of one engine can be carried on by another: `engine.export()` returns them as records, `adopt` takes them.
 *
 * One engine belongs to one thread and is never entered twice. It wipes the keys of IKE SAs; those of ESP SAs pass to
 * the receiver of `install-child`. `handle` throws only on a bug, never on what a peer sends.
 */
export { parseCidr } from '../util/ip.js';
export type { Random } from '../util/random.js';
export { SecretKey } from '../util/secret.js';
export type * from './config.js';
export { type Adoption, Engine, type EngineDeps } from './engine.js';
export type * from './events.js';
export type * from './inputs.js';
export { DEFAULT_LIMITS, type EngineLimits, type RetransmitPolicy } from './limits.js';
export type * from './outputs.js';
export { type IdentityTypeName, makeIdentity } from './policy/identity.js';
export { autoEspProposals, autoIkeProposals, type Profile } from './policy/matrix.js';
export { cidrSelector } from './policy/selectors.js';
export type * from './sa/child.js';
export {
  type ChildSaRecord,
  type IkeRecord,
  RECORD_VERSION,
  type RefusedRecord,
  type SaRecord,
  wipeRecord,
} from './sa/record.js';
export { shiftRecord } from './sa/record-clock.js';
