import type { Logger } from '../../telemetry/log.js';
import { RepeatFolder } from '../../telemetry/repeats.js';
import type { AuditTrail } from '../audit/trail.js';

/** One line per address or principal in this time; repeats are counted into the next. */
const FOLD_MS = 60_000;
/** Addresses and principals that are distinguished; the rest share one line per minute. */
const MAX_KINDS = 1024;
/** First word of the kind of refused logins; the second one is the address. */
const LOGIN = 'auth-failed';

interface Refusals {
  readonly kind: string;
  readonly line: string;
  /** Like ones before, without a line of their own. */
  readonly repeats: number;
}

/**
 * Writes refused logins and refused changes into the log, folded, so that guessing cannot flood it; logins also into
 * the audit trail, where refused changes are noted with all other refused requests.
 */
export class RefusalLog {
  readonly #logger: Logger;
  readonly #audit: AuditTrail;
  readonly #folder = new RepeatFolder(FOLD_MS, MAX_KINDS);

  constructor(logger: Logger, audit: AuditTrail) {
    this.#logger = logger;
    this.#audit = audit;
  }

  /** `address` failed to prove who it is; `now` in milliseconds since 1970. */
  login(address: string, why: string, now: number): void {
    this.#write(`${LOGIN} ${address}`, `login from ${address} refused: ${why}`, now);
  }

  /** A principal without the right to change anything tried to. */
  change(who: string, what: string, now: number): void {
    this.#write(`change-refused ${who}`, `${who} is a viewer, so this change was refused: ${what}`, now);
  }

  #write(kind: string, line: string, now: number): void {
    // What was held back for others is due when another login fails: no timer is needed for it.
    for (const held of this.#folder.due(now)) this.#warn(held, now);
    const { write, repeats } = this.#folder.admit(kind, line, now);
    if (write) this.#warn({ kind, line, repeats }, now);
  }

  #warn({ kind, line, repeats }: Refusals, now: number): void {
    const [event, who] = kind.split(' ');
    if (event === LOGIN) {
      this.#audit.login({
        at: new Date(now).toISOString(),
        action: 'culvert.login.create',
        outcome: 'failure',
        initiator: { address: who! },
        reason: { status: 401, code: 'token_invalid' },
        ...(repeats === 0 ? {} : { repeats }),
      });
    }
    const times = repeats === 0 ? '' : ` (${repeats} times since the last such line)`;
    this.#logger.warn({ event, who, ...(repeats === 0 ? {} : { repeats }) }, `${line}${times}`);
  }
}
