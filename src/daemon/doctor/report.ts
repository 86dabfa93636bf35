import type { StatusCause } from '../../connection/reasons.js';
import type { Advisory } from '../../connection/status.js';

/** What `culvert doctor` says: one entry for each thing that was looked at. Programs read it: fields are added only. */

/** Findings of the doctor alone. */
type DoctorCode =
  | 'no_rights'
  | 'no_tun'
  | 'forwarding_off'
  | 'reverse_path_filter'
  | 'hash_policy'
  | 'forward_dropped'
  | 'ike_filtered'
  | 'masqueraded'
  | 'clear_packets_not_filtered'
  | 'conntrack_full'
  | 'clock_wrong'
  | 'port_taken'
  | 'address_missing'
  | 'uplink_mtu'
  | 'no_route_to_peer'
  | 'path_mtu'
  | 'route_elsewhere'
  | 'no_route_to_local'
  | 'configuration';

/** What was found: also all that a status knows as a cause or an advisory. */
export type FindingCode = DoctorCode | StatusCause | Advisory['code'];

/**
 * `note`: worth knowing, and no fault by itself. `not_checked`: it could not be looked at, so nothing is known of it;
 * the message says why.
 */
export type DoctorResult = 'ok' | 'note' | 'finding' | 'not_checked';

/** One thing that was looked at, or a fault that was found there. */
export interface DoctorEntry {
  readonly area: 'host' | 'path' | 'connection';
  /** What was looked at, for example `forwarding`. */
  readonly check: string;
  /** Name of the connection that it is about; null when it is about all of them. */
  readonly connection: string | null;
  readonly result: DoctorResult;
  /** Of a finding; else null. */
  readonly code: FindingCode | null;
  readonly message: string;
  /** What was seen: values, rules, routes. */
  readonly evidence: readonly string[];
  /** What to do, null where there is nothing to do. */
  readonly remedy: string | null;
}

/** The whole answer of `culvert doctor`. */
export interface DoctorReport {
  /** Null when no gateway was named or found. */
  readonly gateway: { readonly name: string; readonly address: string } | null;
  /** Whether the gateway runs, so that its own knowledge is in the report. */
  readonly running: boolean;
  readonly entries: readonly DoctorEntry[];
  /** How many entries have each result. */
  readonly counts: Readonly<Record<DoctorResult, number>>;
}

/** What the entries of one check have in common. */
export type CheckSubject = Pick<DoctorEntry, 'area' | 'check'> & { readonly connection?: string };

/** A fault: its code, a sentence that says what is wrong, and what to do. */
export interface Fault {
  readonly code: FindingCode;
  readonly message: string;
  readonly evidence?: readonly string[];
  readonly remedy: string | null;
}

/** Writes the entries of one check. */
export class Check {
  readonly #subject: CheckSubject;

  constructor(subject: CheckSubject) {
    this.#subject = subject;
  }

  ok(message: string, evidence: readonly string[] = []): DoctorEntry {
    return this.#entry('ok', { code: null, message, evidence, remedy: null });
  }

  note(message: string, remedy: string | null = null, evidence: readonly string[] = []): DoctorEntry {
    return this.#entry('note', { code: null, message, evidence, remedy });
  }

  finding({ code, message, evidence = [], remedy }: Fault): DoctorEntry {
    return this.#entry('finding', { code, message, evidence, remedy });
  }

  /** @param why the rest of "not checked, because" */
  notChecked(why: string, remedy: string | null = null): DoctorEntry {
    return this.#entry('not_checked', {
      ...{ code: null, evidence: [], remedy },
      message: `not checked, because ${why}`,
    });
  }

  #entry(
    result: DoctorResult,
    rest: Pick<DoctorEntry, 'code' | 'message' | 'evidence' | 'remedy'>,
  ): DoctorEntry {
    const { area, check, connection = null } = this.#subject;
    const { code, message, evidence, remedy } = rest;
    return { area, check, connection, result, code, message, evidence, remedy };
  }
}

/** The entries as a report, those of the host first, then the path's, then the connections'. */
export function doctorReport(
  about: Pick<DoctorReport, 'gateway' | 'running'>,
  entries: readonly DoctorEntry[],
): DoctorReport {
  const areas = ['host', 'path', 'connection'] as const;
  const sorted = areas.flatMap((area) => entries.filter((entry) => entry.area === area));
  const counts = { ok: 0, note: 0, finding: 0, not_checked: 0 };
  for (const { result } of sorted) counts[result]++;
  return { gateway: about.gateway, running: about.running, entries: sorted, counts };
}
