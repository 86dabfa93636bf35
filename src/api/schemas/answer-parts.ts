import { ENCRYPTION_NAMES } from '../../store/schema.js';
import * as Type from '../../util/json-schema.js';
import { ERROR_CODES } from '../error-codes.js';

/** What the bodies of answers are made of, and the short forms by which they name each other. */
export const closed = { additionalProperties: false } as const;
/** A property that may be left out. */
export const optional = Type.Optional;

/** A value that may be absent, as null. */
export const nullable = <S extends Type.TSchema>(schema: S) =>
  Type.Unsafe<Type.Static<S> | null>({ anyOf: [schema, { type: 'null' }] });

/** Any text. */
export const Text = Type.String();
/** The id of an object. */
export const Id = Type.String({ pattern: '^[-0-9a-z_]{1,64}$' });
/** The name of an object, in the widest form it has had. */
export const Name = Type.String({ pattern: '^[A-Za-z][-A-Za-z0-9_]{0,62}$' });
/** Where an object is to be had. */
export const Href = Type.String({ pattern: '^https?://' });
/** A cloud resource name. */
export const Crn = Type.String({ pattern: '^crn:v1:' });
/** A time as RFC 3339 writes it, in UTC. */
export const Time = Type.String({ pattern: '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\\.[0-9]+)?Z$' });
/** How many, or how much. */
export const Count = Type.Integer({ minimum: 0 });
/** A field that has one value. */
export const constant = <T extends string>(value: T) => Type.Literal(value);
/** A schema with the name under which the OpenAPI document lists it. */
export type NamedSchema = Type.TSchema & { readonly $id: string };
/** A reference to a schema by its name, with its type. */
export const ref = <S extends NamedSchema>({ $id }: S) => Type.Unsafe<Type.Static<S>>({ $ref: `${$id}#` });
/** A list of what a schema describes. */
export const arrayOf = <S extends NamedSchema>(schema: S) => Type.Array(ref(schema));
/** A closed object under the name of its schema. */
export const named = <T extends Type.TProperties>($id: string, properties: T) =>
  Type.Object(properties, { ...closed, $id }) as Type.TObject<T> & { readonly $id: string };
/** What one of several schemas describes. */
export const oneOf = <S extends readonly NamedSchema[]>($id: string, ...schemas: S) => {
  const anyOf = schemas.map((schema) => ({ $ref: `${schema.$id}#` }));
  return Type.Unsafe<Type.Static<S[number]>>({ $id, anyOf }) as Type.TUnsafe<Type.Static<S[number]>> & {
    readonly $id: string;
  };
};

type Fixed<T> = T extends readonly (infer Item)[]
  ? readonly Fixed<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: Fixed<T[K]> }
    : T;
/** A body as it is answered. */
export type AnswerOf<S extends Type.TSchema> = Fixed<Type.Static<S>>;

/** Whether a tunnel carries traffic. */
export const UpDown = Type.Enum(['up', 'down']);
/** An IP address as an object. */
export const Address = Type.Object({ address: Text }, closed);
/** How well a gateway is. */
export const Health = Type.Enum(['ok', 'degraded', 'faulted', 'inapplicable']);
/** How far an object is in its life. */
export const Lifecycle = Type.Enum([
  'deleting',
  'failed',
  'pending',
  'stable',
  'suspended',
  'updating',
  'waiting',
]);
/** What gateways had in place of health, until 2023-10-09. */
export const OldStatus = Type.Enum(['available', 'failed', 'pending', 'deleting']);
/** An encryption algorithm, or "multiple". */
export const Encryption = Type.Enum([...ENCRYPTION_NAMES, 'multiple']);

/** What a page of a list has beside its objects. */
export const PAGE_FRAME = {
  first: Type.Object({ href: Href }, closed),
  next: optional(Type.Object({ href: Href }, closed)),
  limit: Type.Integer({ minimum: 1, maximum: 100 }),
  total_count: Count,
};

/** A page without its objects. */
export type PageFrame = AnswerOf<Type.TObject<typeof PAGE_FRAME>>;

/** A page of a list, with its objects in the field of that name. */
export function page<const Field extends string, S extends NamedSchema>(name: string, field: Field, item: S) {
  const items = { [field]: arrayOf(item) } as Readonly<Record<Field, ReturnType<typeof arrayOf<S>>>>;
  return named(name, { ...PAGE_FRAME, ...items });
}

/** What is answered when a request fails. */
export const ErrorContainer = named('Errors', {
  errors: Type.Array(
    Type.Object(
      {
        code: Type.Enum(Object.keys(ERROR_CODES)),
        message: Type.String({ minLength: 1 }),
        more_info: optional(Href),
        target: optional(
          Type.Object({ name: Text, type: Type.Enum(['field', 'header', 'parameter']) }, closed),
        ),
      },
      closed,
    ),
    { minItems: 1 },
  ),
  trace: Type.String({ pattern: '^[-0-9a-zA-Z_]{1,64}$' }),
  status_code: optional(Type.Integer()),
  // What clients of the token service read.
  errorCode: optional(Text),
  errorMessage: optional(Text),
});

/** Why something is not well. */
export const Reason = named('Reason', { code: Text, message: Text, more_info: optional(Href) });
/** A resource group as other objects name it. */
export const ResourceGroupReference = named('ResourceGroupReference', {
  href: Href,
  id: Id,
  name: optional(Name),
});
/** A subnet as other objects name it. */
export const SubnetReference = named('SubnetReference', {
  crn: optional(Crn),
  href: Href,
  id: Id,
  name: Name,
  resource_type: optional(constant('subnet')),
});
/** A VPC as other objects name it. */
export const VpcReference = named('VPCReference', {
  crn: Crn,
  href: Href,
  id: Id,
  name: Name,
  resource_type: constant('vpc'),
});
/** A routing table as other objects name it. */
export const RoutingTableReference = named('RoutingTableReference', {
  crn: Crn,
  href: Href,
  id: Id,
  name: Name,
  resource_type: constant('routing_table'),
});
/** A connection as other objects name it. */
export const ConnectionReference = named('VPNGatewayConnectionReference', {
  href: Href,
  id: Id,
  name: Name,
  resource_type: constant('vpn_gateway_connection'),
});
/** A policy as a connection names it. */
export const PolicyReference = named('PolicyReference', {
  href: Href,
  id: Id,
  name: Name,
  resource_type: Type.Enum(['ike_policy', 'ipsec_policy']),
});
