import { ApiConnectionSchema } from '../../store/connection-schema.js';
import { closed, IkePolicySchema, IpsecPolicySchema, KEY_LIFETIME, PskSchema } from '../../store/schema.js';
import * as Type from '../../util/json-schema.js';
import type { Dialect } from '../dialect.js';

/**
 * The bodies of requests. Fields, values and their limits are those of the configuration file wherever both have
 * them; unknown fields are refused, since a misspelt one would otherwise be a setting that silently is not made.
 */

/** Lifetimes since 2020; the form of 2019 begins where the file does. */
const KEY_LIFETIME_MIN = 1800;

const EarlyName = Type.String({
  pattern: '^[A-Za-z][-A-Za-z0-9_]{0,62}$',
  description: 'a name of 1 to 63 letters, digits, hyphens and underscores that begins with a letter',
});

function nameOf(dialect: Dialect) {
  return dialect.early ? EarlyName : IkePolicySchema.properties.name;
}

function lifetimeOf(dialect: Dialect) {
  const minimum = dialect.early ? KEY_LIFETIME.min : KEY_LIFETIME_MIN;
  return Type.Integer({
    minimum,
    maximum: KEY_LIFETIME.max,
    description: `seconds, from ${minimum} to ${KEY_LIFETIME.max}`,
  });
}

const text = Type.Optional(Type.String({ minLength: 1, maxLength: 512, description: '1 to 512 characters' }));

/** How a body points at another object: one of the fields is given. */
export const ReferenceSchema = Type.Object({ id: text, crn: text, href: text }, closed);
/** Names another object in a body, by its id. */
export type Reference = Type.Static<typeof ReferenceSchema>;

const ResourceGroupSchema = Type.Object({ id: Type.String({ minLength: 1, maxLength: 512 }) }, closed);

/** Returns the schemas of the bodies that create and patch an IKE policy, as of the dialect. */
export function ikePolicyBodies(dialect: Dialect) {
  const { name: _name, key_lifetime: _lifetime, ike_version, ...algorithms } = IkePolicySchema.properties;
  const common = {
    ...algorithms,
    name: Type.Optional(nameOf(dialect)),
    key_lifetime: Type.Optional(lifetimeOf(dialect)),
  };
  return {
    create: Type.Object(
      { ...common, ike_version: Type.Enum([1, 2]), resource_group: Type.Optional(ResourceGroupSchema) },
      closed,
    ),
    patch: Type.Object({ ...common, ike_version }, closed),
  };
}

/** Returns the schemas of the bodies that create and patch an IPsec policy, as of the dialect. */
export function ipsecPolicyBodies(dialect: Dialect) {
  const { name: _name, key_lifetime: _lifetime, ...algorithms } = IpsecPolicySchema.properties;
  const common = {
    ...algorithms,
    name: Type.Optional(nameOf(dialect)),
    key_lifetime: Type.Optional(lifetimeOf(dialect)),
  };
  return {
    create: Type.Object({ ...common, resource_group: Type.Optional(ResourceGroupSchema) }, closed),
    patch: Type.Object(common, closed),
  };
}

const LocalAsn = Type.Optional(
  Type.Integer({ minimum: 0, maximum: 4_294_967_295, description: 'a number of an autonomous system' }),
);

/** Returns the schemas of the bodies that create and patch a gateway; modes are not in every dialect. */
export function gatewayBodies(dialect: Dialect) {
  const name = Type.Optional(nameOf(dialect));
  const common = {
    name,
    subnet: Type.Optional(ReferenceSchema),
    resource_group: Type.Optional(ResourceGroupSchema),
  };
  const create = {
    ...common,
    mode: Type.Optional(Type.Enum(['policy', 'route'])),
    local_asn: LocalAsn,
    advertised_cidrs: Type.Optional(
      Type.Array(Type.String({ description: 'a network as address/prefix' }), { maxItems: 1000 }),
    ),
  };
  const patch = { name, local_asn: LocalAsn };
  return {
    create: Type.Object(dialect.modes ? create : without(common, create), closed),
    patch: Type.Object(dialect.modes ? patch : without({ name }, patch), closed),
  };
}

/** The fields of an older form, which lacks some of the optional ones: a body of it is one of the newer form, too. */
function without<T extends Type.TProperties>(older: Type.TProperties, _newer: T): T {
  return older as T;
}

const { local: Local, peer: Peer, ...fields } = ApiConnectionSchema.properties;
const { admin_state_up, establish_mode, dead_peer_detection } = fields;
const { profile, routing_protocol, distribute_traffic, tunnels } = fields;
const { address, fqdn, cidrs, ike_identity, asn } = Peer.properties;

function commonFields(dialect: Dialect) {
  return {
    name: Type.Optional(nameOf(dialect)),
    admin_state_up,
    dead_peer_detection,
    ike_policy: Type.Optional(ReferenceSchema),
    ipsec_policy: Type.Optional(ReferenceSchema),
    profile,
    routing_protocol,
    distribute_traffic,
    tunnels,
  };
}

/** With `peer_address`, `local_cidrs` and `peer_cidrs` in place of `local` and `peer`. */
export function flatConnectionBodies(dialect: Dialect) {
  const all = commonFields(dialect);
  const { routing_protocol: _protocol, distribute_traffic: _traffic, tunnels: _tunnels, ...plain } = all;
  const common = dialect.modes ? all : without(plain, all);
  return {
    create: Type.Object(
      {
        ...common,
        psk: PskSchema,
        peer_address: Type.String({ description: 'the IP address of the peer' }),
        local_cidrs: cidrs,
        peer_cidrs: cidrs,
      },
      closed,
    ),
    patch: Type.Object({ ...common, psk: Type.Optional(PskSchema), peer_address: address }, closed),
  };
}

/** Returns the schemas for a connection whose fields are grouped in `local` and `peer`; see `flatConnectionBodies`. */
export function nestedConnectionBodies(dialect: Dialect) {
  const common = commonFields(dialect);
  return {
    create: Type.Object(
      {
        ...common,
        psk: PskSchema,
        establish_mode,
        local: Local,
        peer: Type.Object({ address, fqdn, cidrs, ike_identity, asn }, closed),
      },
      closed,
    ),
    patch: Type.Object(
      {
        ...common,
        psk: Type.Optional(PskSchema),
        establish_mode,
        peer: Type.Optional(Type.Object({ address, fqdn, asn }, closed)),
      },
      closed,
    ),
  };
}

/** All settings of a connection, each of which may be left out: for changes within a transaction. */
export function settingsBody(dialect: Dialect) {
  const { psk, peer, ...others } = nestedConnectionBodies(dialect).create.properties;
  const { establish_mode: mode, local, ...common } = others;
  return Type.Object(
    {
      ...common,
      psk: Type.Optional(psk),
      establish_mode: mode,
      local,
      peer: Type.Optional(peer),
    },
    closed,
  );
}

/** Steps of the longest transaction. */
const MAX_STEPS = 5000;

const GatewayReference = Type.Object(
  { id: text, name: text, vpc: Type.Optional(Type.Object({ id: text }, closed)) },
  { ...closed, description: 'a gateway by its id, or by its name, with its VPC where two have the name' },
);

const TableReference = Type.Object(
  { id: text, name: text },
  { ...closed, description: 'a routing table of the VPC by its id, or by its name' },
);

/** What `POST /culvert/v1/transactions` takes. Bodies of steps are checked by their operations. */
export function transactionBody<const Name extends string>(operations: readonly Name[]) {
  const step = Type.Object(
    {
      operation: Type.Enum([...operations]),
      gateway: Type.Optional(GatewayReference),
      vpc: Type.Optional(Type.Object({ id: text }, closed)),
      table: Type.Optional(TableReference),
      id: text,
      if_match: Type.Optional(
        Type.String({
          description: 'the ETag of what is changed or deleted: it must not have changed since',
        }),
      ),
      body: Type.Optional(
        Type.Unsafe<object>({
          type: 'object',
          description:
            'the body of the operation; connections may name policies as {"name": "…"}, routes a next hop as {"gateway": "…", "connection": "…"}, and an update of one may set every field that creating it has',
        }),
      ),
    },
    closed,
  );
  return Type.Object(
    { dry_run: Type.Optional(Type.Boolean()), steps: Type.Array(step, { maxItems: MAX_STEPS }) },
    closed,
  );
}
