import { putAt, valueAt } from '../../store/connection-fields.js';
import {
  type ConnectionWish,
  hostOf,
  isCleared,
  SETTINGS,
  type Setting,
  withoutDerived,
} from './connection-wish.js';
import { differ, told } from './differences.js';

type Body = Record<string, unknown>;

/** What is different, in words; nothing when nothing is. `known` is the whole connection before. */
type Texts = (setting: Setting, before: unknown, after: unknown, known: ConnectionWish) => string[];

/** How a setting is compared and sent, where it is not by its value. */
interface Form {
  readonly texts?: Texts;
  /** In a body. */
  readonly sent?: (value: unknown) => unknown;
}

interface Identity {
  readonly type: string;
  readonly value: string;
}

const shownAs =
  (shown: (value: unknown) => string): Texts =>
  (setting, before, after) =>
    differ(before, after) ? [told(setting, shown(before), shown(after))] : [];

const policy: Form = {
  texts: shownAs((name) => (name === undefined ? 'auto' : String(name))),
  sent: (name) => (name === undefined ? null : { name }),
};
const networks: Form = { texts: networkTexts };
const identities: Form = {
  texts: shownAs((value) => {
    const all = [value ?? []].flat() as unknown as readonly Identity[];
    return all.map((one) => `${one.type}:${one.value}`).join(', ') || 'automatic';
  }),
};
const host: Form = {
  texts(setting, before, after, known) {
    if (before === after) return [];
    return [told(before === undefined ? 'peer' : setting, hostOf(known), after)];
  },
};

/** Either of the two is there. */
const HOST: readonly Setting[] = ['peer.address', 'peer.fqdn'];

/** A setting that is not in here is compared, shown and sent as it is. */
const FORMS: Readonly<Partial<Record<Setting, Form>>> = {
  psk: { texts: (_setting, before, after) => (before === after ? [] : ['psk: another key']) },
  ike_policy: policy,
  ipsec_policy: policy,
  'local.cidrs': networks,
  'local.ike_identities': identities,
  'peer.address': host,
  'peer.fqdn': host,
  'peer.cidrs': networks,
  'peer.ike_identity': identities,
};

/** The body that makes a connection, with its policies by name. */
export function newConnection(wish: ConnectionWish): Body {
  const body: Body = {};
  for (const setting of SETTINGS) {
    const value = valueAt(wish, setting);
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    putAt(body, setting, sent(setting, value));
  }
  return body;
}

/** What changes a connection, and the same in words; both empty when nothing does. */
export interface ConnectionDifference {
  readonly body: Body;
  readonly texts: readonly string[];
}

/** `addresses` are those of the gateway, which its identities follow from. */
export function connectionDifference(
  before: ConnectionWish,
  wanted: ConnectionWish,
  addresses: readonly string[],
): ConnectionDifference {
  const after = withoutDerived(wanted, addresses);
  const texts: string[] = [];
  const body: Body = {};
  for (const setting of SETTINGS) {
    const [old, value] = [valueAt(before, setting), valueAt(after, setting)];
    if (value === undefined && !isCleared(setting)) continue;
    const found = (FORMS[setting]?.texts ?? plainTexts)(setting, old, value, before);
    if (found.length === 0) continue;
    texts.push(...found);
    putAt(body, setting, sent(setting, value));
  }
  if (HOST.some((path) => valueAt(body, path) !== undefined)) {
    // An identity may be stored that only looks automatic: it is the peer's old address.
    putAt(body, 'peer.ike_identity', sent('peer.ike_identity', after.peer.ike_identity));
  }
  return { body, texts };
}

function plainTexts(setting: Setting, before: unknown, after: unknown): string[] {
  return differ(before, after) ? [told(setting, before, after)] : [];
}

/** In a body, null takes a value away. */
function sent(setting: Setting, value: unknown): unknown {
  return FORMS[setting]?.sent?.(value) ?? value ?? null;
}

/** Their order does not count. */
function networkTexts(setting: Setting, before: unknown, after: unknown): string[] {
  const [old, wanted] = [before, after] as [readonly string[], readonly string[]];
  const texts = [
    ...wanted.filter((cidr) => !old.includes(cidr)).map((cidr) => `${setting}: + ${cidr}`),
    ...old.filter((cidr) => !wanted.includes(cidr)).map((cidr) => `${setting}: - ${cidr}`),
  ];
  // One that is in the list twice is for the server to refuse.
  if (texts.length === 0 && wanted.length !== old.length) texts.push(told(setting, old, wanted));
  return texts;
}

/** Whether two connections have the same ends and networks, whatever their names and settings. */
export function haveSameEnds(
  known: ConnectionWish,
  wish: ConnectionWish,
  addresses: readonly string[],
): boolean {
  const { local, peer } = connectionDifference(known, wish, addresses).body;
  return local === undefined && peer === undefined;
}
