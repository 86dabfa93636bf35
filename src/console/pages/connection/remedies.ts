import { connectionChange, type Step } from '../../api/client.ts';
import type { Connection, Diagnosis, Identity } from '../../api/types.ts';
import facts from '../../generated/facts.json' with { type: 'json' };

/** Something that mends a connection by a change here. */
export interface Remedy {
  /** What its button says. */
  readonly label: string;
  /** The person has to enter the key. */
  readonly needsKey?: boolean;
  steps(gateway: string): readonly Step[];
}

type Words = Readonly<Record<string, string>>;

const TYPES: ReadonlySet<string> = new Set(['ipv4_address', 'ipv6_address', 'fqdn', 'key_id', 'email']);
/** Seconds of the timeout that is offered for a peer that comes and goes. */
const LONGER_TIMEOUT = 30;

/** What can be done here about why the connection is not up. */
export function remediesFor(
  connection: Connection,
  { cause, connection: status }: Diagnosis,
): readonly Remedy[] {
  const change = (label: string, body: object): Remedy => ({
    label,
    steps: (gateway) => [connectionChange(gateway, connection.id, body)],
  });
  const details = status?.status_reasons.find((reason) => reason.details?.cause === cause)?.details as
    | Readonly<Record<string, unknown>>
    | undefined;
  switch (cause) {
    case 'admin_down':
      return connection.admin_state_up ? [] : [change('Switch it on', { admin_state_up: true })];
    case 'psk_mismatch':
    case 'psk_mismatch_likely':
    case 'authentication_refused':
    case 'no_key':
      return [{ label: 'Set another key', needsKey: true, steps: () => [] }];
    case 'waiting_for_peer':
      return connection.establish_mode === 'peer_only'
        ? [change('Let either side initiate', { establish_mode: 'bidirectional' })]
        : [];
    case 'dpd_timeout': {
      if (connection.dead_peer_detection.timeout >= LONGER_TIMEOUT) return [];
      const timeout = LONGER_TIMEOUT;
      return [
        change(`Wait ${timeout} s before the peer counts as dead`, { dead_peer_detection: { timeout } }),
      ];
    }
    case 'identity_mismatch': {
      const identity = identityOf(details?.received_identity);
      return identity === undefined
        ? []
        : [change(`Accept ${identity.value} as the peer's identity`, { peer: { ike_identity: identity } })];
    }
    case 'ike_proposal_mismatch':
      return proposalRemedies(connection, 'ike', details);
    case 'child_proposal_mismatch':
    case 'pfs_mismatch':
      return proposalRemedies(connection, 'ipsec', details);
    default:
      return [];
  }
}

/** `type:value`, as a status shows it; undefined for what cannot be entered. */
function identityOf(text: unknown): Identity | undefined {
  const found = typeof text === 'string' ? /^([a-z0-9_]+):(.+)$/.exec(text) : null;
  const [, type, value] = found ?? [];
  if (type === undefined || value === undefined || !TYPES.has(type)) return undefined;
  // Cut, or not printable: it is not what the peer has sent.
  return /…|^0x/.test(value) ? undefined : { type: type as Identity['type'], value };
}

/** Most proposals that a button each is offered for. */
const MAX_OFFERED = 3;

/** A policy of what the peer offers, made and chosen at once. */
function proposalRemedies(
  connection: Connection,
  kind: 'ike' | 'ipsec',
  details: Readonly<Record<string, unknown>> | undefined,
): readonly Remedy[] {
  const theirs = Array.isArray(details?.theirs) ? (details.theirs as readonly string[]) : [];
  const remedies: Remedy[] = [];
  for (const proposal of theirs) {
    const policy = policyOf(proposal, kind);
    if (policy === undefined || remedies.length === MAX_OFFERED) continue;
    const name = `${connection.name.slice(0, 50)}-${kind}-${suffix(proposal)}`;
    remedies.push({
      label: `Use ${Object.values(policy).join(', ')}`,
      steps: (gateway) => [
        {
          operation: `create_${kind}_policy`,
          body: {
            name,
            ...policy,
            ...(kind === 'ike' ? { ike_version: details?.exchange === 'MAIN_MODE' ? 1 : 2 } : {}),
          },
        },
        connectionChange(gateway, connection.id, { [`${kind}_policy`]: { name } }),
      ],
    });
  }
  return remedies;
}

/** The first transform of each type of a proposal, by the names of policies; undefined where one has none. */
function policyOf(
  proposal: string,
  kind: 'ike' | 'ipsec',
): Readonly<Record<string, string | number>> | undefined {
  const words = proposal.split(' ').map((word) => word.split('/')[0]!);
  const find = (names: Words): string | undefined =>
    words.map((word) => names[word]).find((name) => name !== undefined);
  const encryption = find(facts.transforms.encryption);
  const hash = find(facts.transforms.integrity);
  const prf = find(facts.transforms.prf);
  const group = find(facts.transforms.group);
  if (encryption === undefined) return undefined;
  const algorithm = { encryption_algorithm: encryption };
  if (kind === 'ike') {
    const authentication = hash ?? prf;
    if (authentication === undefined || group === undefined) return undefined;
    return { ...algorithm, authentication_algorithm: authentication, dh_group: Number(group) };
  }
  return {
    ...algorithm,
    authentication_algorithm: hash ?? 'disabled',
    pfs: group === undefined ? 'disabled' : `group_${group}`,
  };
}

/** Six letters that are the same for the same text, so that pressing twice does not make two policies of one name. */
function suffix(text: string): string {
  let sum = 0;
  for (const letter of text) sum = (Math.imul(sum, 31) + letter.charCodeAt(0)) >>> 0;
  return sum.toString(36).padStart(6, '0').slice(-6);
}
