import * as Type from '../util/json-schema.js';
import {
  CONNECTION_FIELDS,
  type ConnectionField,
  FIELD_PATHS,
  type FieldPath,
  fieldOf,
  type GROUPS,
  type Origin,
} from './connection-fields.js';
import {
  closed,
  GatewaySchema,
  IkePolicySchema,
  IpsecPolicySchema,
  LimitsSchema,
  PskSchema,
} from './schema.js';

/*
 * The schemas that the table of fields makes, and that of the whole file.
 */

type Fields = typeof CONNECTION_FIELDS;
/** The fields of an origin. */
type Of<O extends Origin> = {
  [K in FieldPath as Fields[K] extends { only: Exclude<Origin, O> } ? never : K]: Fields[K]['schema'];
};
/** Of these, those that are below a group, by their names in it; and those that are below none. */
type Inner<F extends Type.TProperties, G extends string> = {
  [K in keyof F as K extends `${G}.${infer Rest}` ? Rest : never]: F[K];
};
type Outer<F extends Type.TProperties> = {
  [K in keyof F as K extends `${string}.${string}` ? never : K]: F[K];
};
type Nested<F extends Type.TProperties> = Outer<F> & {
  readonly [G in Exclude<(typeof GROUPS)[number], 'peer'>]: Type.TOptional<Type.TObject<Inner<F, G>>>;
} & { readonly peer: Type.TObject<Inner<F, 'peer'>> };
type Shared<F extends Type.TProperties> = {
  [K in keyof F as K extends FieldPath ? (Fields[K] extends { own: true } ? never : K) : never]: F[K];
};

/** The properties of a connection's schema, nested as they are written, in the order of the table. */
function nested(
  of: (field: ConnectionField) => boolean,
  isRequired: (group: string) => boolean,
): Type.TProperties {
  const groups = new Map<string, Record<string, Type.TSchema>>();
  const names: string[] = [];
  const outer: Record<string, Type.TSchema> = {};
  for (const path of FIELD_PATHS) {
    const field = fieldOf(path);
    if (!of(field)) continue;
    const [group, name] = path.split('.') as [string, string?];
    if (!names.includes(group)) names.push(group);
    if (name === undefined) outer[group] = field.schema;
    else groups.set(group, { ...groups.get(group), [name]: field.schema });
  }
  return Object.fromEntries(
    names.map((name) => {
      const inner = groups.get(name);
      if (inner === undefined) return [name, outer[name]!];
      const group = Type.Object(inner, closed);
      return [name, isRequired(name) ? group : Type.Optional(group)];
    }),
  );
}

const isPeer = (group: string): boolean => group === 'peer';
const inFile = ({ only }: ConnectionField): boolean => only !== 'api';

/** A connection in the file of a gateway. */
const ConnectionSchema = Type.Object(nested(inFile, isPeer) as Nested<Of<'file'>>, closed);

/** A connection in a body of the API, as its newest version has it; policies are by name or id. */
export const ApiConnectionSchema = Type.Object(
  nested(({ only }) => only !== 'file', isPeer) as Nested<Of<'api'>>,
  closed,
);

type DeclaredFields = {
  [K in FieldPath as Fields[K] extends { only: 'file' } | { unkept: readonly ['api'] }
    ? never
    : K]: Fields[K]['schema'];
};

/** A connection in a file for `culvert apply`: what the API keeps of one, with the key itself or in a file. */
export const DeclaredConnectionSchema = Type.Object(
  {
    ...(nested(
      ({ only, unkept }) => only !== 'file' && unkept?.includes('api') !== true,
      isPeer,
    ) as Nested<DeclaredFields>),
    psk: Type.Optional(PskSchema),
    psk_file: CONNECTION_FIELDS.psk_file.schema,
  },
  closed,
);

/** What connections may have in common: all but what distinguishes them. */
export const ConnectionDefaultsSchema = Type.Object(
  nested((field) => inFile(field) && field.own !== true, isPeer) as Omit<Nested<Shared<Of<'file'>>>, 'peer'>,
  closed,
);

/** A whole gateway file. What fields mean together is left to the rules. */
export const ConfigFileSchema = Type.Object(
  {
    gateway: GatewaySchema,
    ike_policies: Type.Optional(Type.Array(IkePolicySchema)),
    ipsec_policies: Type.Optional(Type.Array(IpsecPolicySchema)),
    defaults: Type.Optional(ConnectionDefaultsSchema),
    connections: Type.Optional(Type.Array(ConnectionSchema)),
    limits: Type.Optional(LimitsSchema),
  },
  closed,
);

/** An entry of `connections` as the file spells it, after its schema was checked and defaults were filled in. */
export type ConnectionInput = Type.Static<typeof ConnectionSchema>;
/** A whole gateway file as it is spelled, after its schema was checked and defaults were filled in. */
export type ConfigFileInput = Type.Static<typeof ConfigFileSchema>;
