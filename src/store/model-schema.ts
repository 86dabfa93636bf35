import type { DpdConfig } from '../ike/config.js';
import { IDENTITY_TYPE_NAMES } from '../ike/policy/identity.js';
import * as Type from '../util/json-schema.js';
import type { IkeIdentity } from './model.js';

/** A schema for every field of a model: one that is added to the model cannot be forgotten. */
export type FieldsOf<T> = { readonly [K in keyof T]-?: Type.TSchema };

/** The schema of a model in JSON; unknown fields are refused. */
export function modelOf<T>(fields: FieldsOf<T>) {
  return Type.Object(fields as FieldsOf<T> & Record<string, Type.TSchema>, { additionalProperties: false });
}

const seconds = Type.Integer({ minimum: 1, maximum: 86_400, description: 'seconds, from 1 to 86400' });

/** Dead peer detection in the model, as it is stored and sent to supervised gateways. */
export const DpdModel = modelOf<DpdConfig>({
  action: Type.Enum(['restart', 'clear', 'hold', 'none']),
  interval: seconds,
  timeout: seconds,
});

/** An identity in the model, as it is stored and sent to supervised gateways. */
export const IdentityModel = modelOf<IkeIdentity>({
  type: Type.Enum([...IDENTITY_TYPE_NAMES]),
  value: Type.String({ minLength: 1, maxLength: 512, description: '1 to 512 characters' }),
});
