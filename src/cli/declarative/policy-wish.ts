import {
  ALGORITHM_FIELDS,
  DEFAULTS,
  type IkePolicyInput,
  IkePolicySchema,
  type IpsecPolicyInput,
  IpsecPolicySchema,
} from '../../store/schema.js';

type Fields = Readonly<Record<string, unknown>>;
type Single = 'encryption_algorithm' | 'authentication_algorithm' | 'dh_group' | 'pfs';
type Filled<Input> = {
  readonly [Field in keyof Input as Field extends Single ? never : Field]-?: NonNullable<Input[Field]>;
};

/** An IKE policy with all defaults filled in and its algorithms as lists: the form in which two are compared. */
export type IkePolicyWish = Filled<IkePolicyInput>;

/** An IPsec policy, as `IkePolicyWish`. */
export type IpsecPolicyWish = Filled<IpsecPolicyInput>;

const KINDS = {
  ike: {
    fields: Object.keys(IkePolicySchema.properties),
    usual: {
      additional_key_exchanges: [],
      ike_version: DEFAULTS.ikeVersion,
      key_lifetime: DEFAULTS.ikeKeyLifetime,
    },
  },
  ipsec: {
    fields: Object.keys(IpsecPolicySchema.properties),
    usual: {
      additional_key_exchanges: [],
      // With an AEAD cipher there is no other hash than none.
      authentication_algorithms: ['disabled'],
      pfs_groups: [DEFAULTS.pfs],
      key_lifetime: DEFAULTS.ipsecKeyLifetime,
    },
  },
} as const satisfies Record<keyof typeof ALGORITHM_FIELDS, { fields: readonly string[]; usual: Fields }>;

/** Reads an IKE policy of a file, or an answer of the API: both have the same field names. */
export function ikePolicyWish(policy: object): IkePolicyWish {
  return wishOf('ike', policy as Fields) as unknown as IkePolicyWish;
}

/** As `ikePolicyWish`. */
export function ipsecPolicyWish(policy: object): IpsecPolicyWish {
  return wishOf('ipsec', policy as Fields) as unknown as IpsecPolicyWish;
}

function wishOf(kind: keyof typeof KINDS, policy: Fields): Fields {
  const { fields, usual }: { readonly fields: readonly string[]; readonly usual: Fields } = KINDS[kind];
  const lists = Object.values(ALGORITHM_FIELDS[kind]);
  const singles = new Set(lists.map(({ one }) => one));
  const wish = fields.flatMap((field): [string, unknown][] => {
    if (singles.has(field)) return [];
    const one = lists.find(({ many }) => many === field)?.one;
    if (one === undefined) return [[field, policy[field] ?? usual[field]]];
    const given = [policy[field] ?? policy[one] ?? []].flat().map(algorithmName);
    return [[field, given.length === 0 ? (usual[field] ?? []) : given]];
  });
  return Object.fromEntries(wish);
}

/** `3des` and `triple_des` are one algorithm. */
function algorithmName(name: unknown): unknown {
  return name === '3des' ? 'triple_des' : name;
}
